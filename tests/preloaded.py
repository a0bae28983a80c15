"""A process that has imported Snakemake and forks itself for each run: the import takes half of the time of a dry run.

It reads one JSON object per line: the folder, the environment variables, the arguments, the file for the output, and
the Python of the jobs. It answers with the exit status. A run imports everything else itself, as `python -m snakemake`
in the folder does.
"""

import gc
import json
import os
import sys

from snakemake import cli
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_report_plugins.registry import ReportPluginRegistry
from snakemake_interface_scheduler_plugins.registry import SchedulerPluginRegistry
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

REGISTRIES = (
    ExecutorPluginRegistry,
    LoggerPluginRegistry,
    ReportPluginRegistry,
    SchedulerPluginRegistry,
    StoragePluginRegistry,
)


def run(folder: str, environment: dict[str, str], arguments: list[str], output: str, python: str) -> None:
    """Run Snakemake in this process and exit."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), (output, os.O_WRONLY | os.O_CREAT)]):
        os.dup2(os.open(path, flags, 0o644), number)
    os.dup2(1, 2)
    # The workflow gives its jobs the Python that runs Snakemake.
    sys.executable = python
    sys.path[0], sys.argv = folder, [f"{os.path.dirname(cli.__file__)}/__main__.py", *arguments]
    cli.main(arguments)
    sys.exit(0)


def serve() -> None:
    """Answer requests until the end of the input."""
    for registry in REGISTRIES:
        registry()
    # Collections of garbage in the forks then leave out all objects so far.
    gc.freeze()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
