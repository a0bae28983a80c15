"""A process that has imported Snakemake and the jobs' libraries and forks itself for each call of `python`.

It replaces `python` where a test runs Snakemake and where the workflow runs its scripts: imports take most of the time
of a small run. It listens on a Unix socket. The file `python` beside the socket sends each call there, with its open
files, folder and environment, and ends as the forked process does. tests/README.md explains what for.
"""

import json
import os
import signal
import socket
import sys

CLIENT = """#!{python} -SsE
import os, sys
sys.path.insert(0, {folder!r})
import preloaded
if sys.argv[1:2] != ["-m"] and "workflow/scripts/" not in os.path.abspath("".join(sys.argv[1:2])):
    os.execv({python!r}, ["python", *sys.argv[1:]])
os._exit(preloaded.call(__file__, sys.argv[1:], os.getcwd(), dict(os.environ), [0, 1, 2], forward=True))
"""


def call(
    python: str, arguments: list[str], folder: str, variables: dict[str, str], files: list[int], forward: bool = False
) -> int:
    """Run `python ARGUMENTS` in a fork with these files as stdin, stdout and stderr; return its exit status.

    python: the path of the file that stands for Python. forward: pass SIGINT and SIGTERM of this process on.
    """
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{python}.socket")
        request = json.dumps([arguments, folder, variables]).encode()
        socket.send_fds(server, [len(request).to_bytes(8, "big")], files)
        server.sendall(request)
        if not (number := server.recv(8)):
            return 137
        process = int.from_bytes(number, "big")
        for number in (signal.SIGINT, signal.SIGTERM) if forward else ():
            signal.signal(number, lambda number, frame: os.kill(process, number))
        return (server.recv(1) or b"\x89")[0]


def run(arguments: list[str], folder: str, variables: dict[str, str], files: list[int]) -> None:
    """Do in this process what `python SCRIPT ...` or `python -m MODULE ...` does, and exit."""
    import runpy

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    # The workflow gives its jobs the Python that runs Snakemake.
    sys.executable = variables.pop("PYTHON_OF_JOBS", sys.executable)
    os.environ.clear()
    os.environ.update(variables)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # The name of the process, by which tests find it.
    with open("/proc/self/comm", "w") as name:
        name.write(os.path.basename(arguments[arguments[0] == "-m"]).removesuffix(".py"))
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in variables
    if arguments[0] == "-m":
        sys.path[0], sys.argv = folder, arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = os.path.dirname(os.path.abspath(arguments[0])), arguments
        runpy.run_path(arguments[0], run_name="__main__")
    sys.exit(0)


def answer(client: socket.socket) -> None:
    """Run one call in a process of its own; send its number, then its exit status."""
    header, files, _, _ = socket.recv_fds(client, 8, 3)
    with client.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(header, "big")))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (process := os.fork()) == 0:
        client.close()
        run(*request, files)
    client.sendall(process.to_bytes(8, "big"))
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    client.sendall(bytes([code if code >= 0 else 128 - code]))


def serve(python: str) -> None:
    """Import the libraries, then answer calls until the standard input ends, which it does with the test process."""
    import gc
    import select

    import matplotlib.figure
    import pandas
    import sklearn.datasets
    import torch
    from snakemake import cli
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
    from snakemake_interface_report_plugins.registry import ReportPluginRegistry
    from snakemake_interface_scheduler_plugins.registry import SchedulerPluginRegistry
    from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

    del matplotlib, pandas, sklearn, cli
    # torch imports its compiler when it creates the first optimizer.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    for registry in (
        *(ExecutorPluginRegistry, LoggerPluginRegistry, ReportPluginRegistry),
        *(SchedulerPluginRegistry, StoragePluginRegistry),
    ):
        registry()
    # Collections of garbage in the forks then leave out all these objects.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{python}.socket")
    server.listen()
    with open(python, "w") as client:
        client.write(CLIENT.format(python=sys.executable, folder=os.path.dirname(os.path.abspath(__file__))))
    os.chmod(python, 0o755)
    print("ready", flush=True)
    while server in select.select([server, sys.stdin], [], [])[0]:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            answer(connection)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    serve(sys.argv[1])
