"""A process that has imported the jobs' libraries and forks itself for each job: imports take most of a small job.

It listens on a Unix socket. The file `python` beside the socket, which the workflow finds as its Python, sends each
call of a workflow script here, with its open files, and ends as the job does. Tests of how jobs start use the fixture
`jobs_with_a_new_python` instead.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

# Replaces `python` in the shell commands of the workflow. It runs everything but the workflow's scripts itself.
CLIENT = """#!{python} -SsE
import json, os, signal, socket, sys
if len(sys.argv) < 2 or not sys.argv[1].endswith(".py") or "workflow/scripts/" not in os.path.abspath(sys.argv[1]):
    os.execv({python!r}, ["python", *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
server.sendall(request)
job = int.from_bytes(server.recv(8), "big")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(job, number))
os._exit((server.recv(1) or b"\\x89")[0])
"""


def run(arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """Run a script in this process, as `python SCRIPT ...` does, and exit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    runpy.run_path(arguments[0], run_name="__main__")
    sys.exit(0)


def received(client: socket.socket, count: int) -> bytes:
    """Return this many bytes. Raises EOFError if the client ends before."""
    parts = b""
    while len(parts) < count:
        if not (part := client.recv(count - len(parts))):
            raise EOFError
        parts += part
    return parts


def answer(client: socket.socket) -> None:
    """Run one call in a process of its own and send its number, then its exit status."""
    header, files, _, _ = socket.recv_fds(client, 8, 3)
    request = json.loads(received(client, int.from_bytes(header, "big")))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (job := os.fork()) == 0:
        client.close()
        run(*request, files)
    client.sendall(job.to_bytes(8, "big"))
    code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    client.sendall(bytes([code if code >= 0 else 128 - code]))


def serve(folder: Path) -> None:
    """Import the libraries, then answer calls until the standard input ends, which it does with the test process."""
    import matplotlib.figure
    import pandas
    import sklearn.datasets
    import torch

    # torch imports its compiler when it creates the first optimizer.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    del matplotlib, pandas, sklearn
    # Collections of garbage in the forks then leave out all these objects.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "socket"))
    server.listen()
    client = folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(folder / "socket")))
    client.chmod(0o755)
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in readable:
            return
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            answer(connection)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
