"""A real Slurm on this machine only.

Needs root and Debian's slurmctld, slurmd, slurm-client, slurm-wlm-basic-plugins and munge (.ci/run installs them). It
uses neither systemd nor cgroups, so memory limits are not enforced. All files are in one folder, except for a link at
/etc/slurm/slurm.conf. The link is needed because the variable SLURM_CONF does not reach jobs that remove Slurm's
variables.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from conftest import wait_until

LINK = Path("/etc/slurm/slurm.conf")
PROGRAMS = ["slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "srun"]

CONF = """
ClusterName=prunecurve
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
# Refuse a job that fits on no node; by default it would wait forever.
EnforcePartLimits=ALL
# Without a default, a job that requests no memory would get the whole memory of a node.
DefMemPerCPU=500
KillWait=5
MinJobAge=3600
MaxJobCount={most_jobs}
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{nodes}
PartitionName=main Nodes=ALL Default=YES State=UP
PartitionName=other Nodes=ALL Default=NO State=UP
"""


def obstacle() -> str | None:
    """Return why Slurm cannot be started on this machine; None if it can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if missing:
        return f"Slurm is not installed: no {', '.join(missing)}"
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    if os.path.lexists(LINK) and not (LINK.is_symlink() and (not LINK.exists() or is_ours())):
        return f"{LINK} already exists: this machine has its own Slurm"
    return None


def is_ours() -> bool:
    """Whether the link points to a configuration written by this file, left over from tests that were killed."""
    return LINK.is_symlink() and LINK.exists() and "ClusterName=prunecurve" in LINK.read_text()


def search_path() -> str:
    """Return PATH with the sbin folders, which contain the daemons and are not on every PATH."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def call(*command: object, check: bool = True) -> str:
    """Run a command and return its output; RuntimeError if it fails and `check` is true."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PATH": search_path()},
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}")
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Return numbers of ports that are not in use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


class Slurm:
    """Munge, a Slurm controller and some nodes, all on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = ["n1", "n2", "n3", "n4"]

    def start(self) -> "Slurm":
        """Start all daemons; return when jobs can run."""
        if is_ours():
            Slurm(LINK.resolve().parent).stop()
        self.folder.mkdir(mode=0o755)
        self.ports = free_ports(1 + len(self.names))
        self.configure()
        LINK.parent.mkdir(exist_ok=True)
        LINK.unlink(missing_ok=True)  # left by a killed run; `obstacle` excludes all other cases
        LINK.symlink_to(self.folder / "slurm.conf")
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        # Our own munge, separate from the system's. `--force`: accept a folder inside a private folder.
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        files |= {"seed-file": "munge.seed"}
        call("munged", "--force", *(f"--{name}={self.folder / file}" for name, file in files.items()))
        self.start_controller()
        for name in self.names:
            call("slurmd", "-N", name)
        assert wait_until(lambda: call("sinfo", "-h", "-o", "%T").split() == ["idle"], 60), "nodes"
        return self

    def configure(self, most_jobs: int = 10000) -> None:
        """Write the configuration, which the controller reads when it starts."""
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4000"
            for name, port in zip(self.names, self.ports[1:])
        )
        text = CONF.format(host=host, port=self.ports[0], folder=self.folder, nodes=nodes, most_jobs=most_jobs)
        (self.folder / "slurm.conf").write_text(text)

    def start_controller(self) -> None:
        """Start slurmctld, which continues with the jobs that it knew before."""
        (self.folder / "state").mkdir(exist_ok=True)
        call("slurmctld")
        assert wait_until(lambda: "is UP" in call("scontrol", "ping", check=False), 30), "slurmctld"

    def stop_controller(self) -> None:
        """Stop only slurmctld; running jobs continue."""
        end(self.folder / "slurmctld.pid")

    def stop(self) -> None:
        """Cancel all jobs, stop all daemons, remove the link and the folder."""
        try:
            if (self.folder / "slurmctld.pid").exists():
                call("scancel", "--user=root", check=False)
                wait_until(lambda: not call("squeue", "-h", check=False).strip(), 30)
        finally:
            # Nodes first, because they sign off at the controller.
            for file in [*self.folder.glob("slurmd-*.pid"), self.folder / "slurmctld.pid", self.folder / "munged.pid"]:
                end(file)
            if LINK.is_symlink() and LINK.readlink().parent == self.folder:
                LINK.unlink()
            shutil.rmtree(self.folder, ignore_errors=True)


def end(pid_file: Path) -> None:
    """Stop the daemon that wrote a pid file, and wait for its end."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    # The daemon may have ended by itself.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: not alive(pid), 20):
            os.kill(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Whether a process is running; zombie processes are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
