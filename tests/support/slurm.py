"""A real Slurm cluster on this one machine, for tests: two nodes, four GPUs that are ordinary files.

`python -m tests.support.slurm FOLDER` starts one by hand, prints the lines that a shell needs, and stops it on Ctrl-C.

Clusters side by side don't meet: all state lies in one folder, every port is a free one, and so are the job ids.
"""

import atexit
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("slurm-wlm", "slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server", "mariadb-client", "munge")
NODES = ("n1", "n2")
GPUS_PER_NODE = 2
CPUS_PER_NODE = 3
NODE_MEMORY_MB = 12000
NODE_TIMEOUT_S = 10  # a silent node counts as dead after this
REQUEUE_S = 5  # a requeued job starts again after this
START_TIMEOUT_S = 300  # of a daemon that hangs; one that ends is noticed at once, and a busy machine is slow
STOP_TIMEOUT_S = 10
POLL_S = 0.1
LOG_TAIL_LINES = 25
LINE_CHARACTERS = 160
SOCKET_PATH_BYTES = 107  # the kernel's limit
JOB_IDS = 1000  # as many for each port, so that no two clusters give a job the same id
CONF_FOLDER = Path("/etc/slurm")  # where programs look that don't know SLURM_CONF
# Starts a daemon that sees the folder $0 there, as all its jobs do: the plugin removes SLURM_CONF from the environment
# of its job steps. No other process of this machine sees it.
WITH_OWN_CONF = f'mount --bind "$0" {CONF_FOLDER} && exec "$@"'
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Nodes are described, not measured (config_overrides): a smaller machine does too. Without DefMemPerCPU a job takes
# all memory of its node. Jobs of both partitions share the nodes, each on cores of its own. linuxproc would follow
# parents to children: a stopped process whose parent ended first is lost, and its job stays COMPLETING for ever.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld_port}
SlurmUser=root
FirstJobId={first_job}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue_s}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides

SlurmdTimeout={node_timeout_s}
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=300
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=10

GresTypes=gpu,lscratch
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""

NODE_LINE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
    " CPUs={cpus} RealMemory={memory_mb} Gres=gpu:k80:{gpus},lscratch:100"
)

SLURMDBD_CONF = """\
DbdHost=localhost
DbdPort={slurmdbd_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""


def missing() -> list[str]:
    """Reasons why a cluster can't run on this machine; none if it can."""
    reasons = []
    if os.geteuid() != 0:
        reasons.append("not root")
    release = Path("/etc/os-release")
    lines = release.read_text().replace('"', "").splitlines() if release.exists() else []
    if not {"ID=debian", "VERSION_ID=12"} <= set(lines):
        reasons.append("not Debian 12")
    if shutil.which("apt-get") is None:
        reasons.append("no apt-get")
    if subprocess.run(["sh", "-c", "unshare --mount true"], capture_output=True, check=False).returncode != 0:
        reasons.append("no mount namespaces")
    return reasons


class Slurm:
    """A cluster whose state lies in `folder`, which must not hold an earlier one.

    Attributes:
        folder: configuration, state, and `logs`, one per daemon.
        environment: what a user of the cluster needs, this process' own variables included.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.conf = self.folder / "slurm.conf"
        longest = self.folder / "spool-n1" / "n1_65535999.4294967291"
        if len(os.fsencode(longest)) > SOCKET_PATH_BYTES:
            raise ValueError(f"{self.folder} is too long: sockets have at most {SOCKET_PATH_BYTES} bytes")
        own = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        self.environment = own | {"SLURM_CONF": str(self.conf), "PATH": f"{own.get('PATH', '')}:{PATH}"}
        self._jobs = range(0)  # ids that this cluster may give
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}  # in the order of their start

    def __enter__(self) -> "Slurm":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when both nodes are idle.

        Raises:
            RuntimeError: a daemon ended or isn't ready in time; with the end of its log. None is left running.
        """
        atexit.register(self.stop)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that atexit runs
        try:
            self._configure()
            self._start_munge()
            self._start_database()
            self.start_accounting()
            for added in ("cluster test", "account lab", "user root account=lab"):
                self.run("sacctmgr", "-i", "add", *added.split())
            self.run("sacctmgr", "-i", "modify", "user", "root", "set", "defaultaccount=lab")
            self._launch("slurmctld", *self._own_conf(), "slurmctld", "-D")
            self._wait("slurmctld", lambda: "is UP" in self.run("scontrol", "ping", check=False))
            for name in NODES:
                self.start_node(name)
            for name in NODES:
                self._wait(name, lambda name=name: self._node_state(name) == "idle")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop jobs and daemons, the last started first. Nothing to stop is no error."""
        atexit.unregister(self.stop)
        for name in NODES:
            self.kill_node(name)
        for name in reversed(list(self._daemons)):
            self._end(name)
        self.kill_leftovers()

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's programs; its stdout.

        Raises:
            RuntimeError: it failed and `check` is set; with its stderr.
        """
        result = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        if check and result.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} (exit {result.returncode}): {result.stderr.strip()}")
        return result.stdout

    def sacct(self, *fields: str) -> list[dict[str, str]]:
        """All jobs since the cluster's start, without their steps; a requeued job once per run, oldest first."""
        names = fields or ("JobID", "JobName", "State", "ExitCode", "NodeList", "Start", "End")
        options = ["-a", "-X", "-n", "-P", "--duplicates", "--delimiter=\t", "--starttime=2000-01-01"]
        rows = self.run("sacct", *options, "--format=" + ",".join(names)).splitlines()
        return [dict(zip(names, row.split("\t"), strict=True)) for row in rows]

    def queue(self) -> str:
        """What a failure needs: ends of the daemons' logs, jobs that haven't ended, and processes of jobs."""
        logs = [f"{name}: {line}" for name in ("slurmctld", *NODES) for line in self._log_tail(name)]
        jobs = self.run("squeue", "-a", "-o", "%i %A %T %N %r %j %M", check=False)
        processes = ",".join(map(str, self._job_processes()))
        columns = "pid,ppid,pgid,stat,etimes,args"
        there = self.run("ps", "-ww", "-o", columns, "-p", processes, check=False).splitlines()
        return "\n".join([*logs, jobs, *(line[:LINE_CHARACTERS] for line in there)])

    def limit(self, job: str | int, minutes: int) -> None:
        """Set the time limit of a job that hasn't ended; it holds after a requeue too."""
        self.run("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")

    def end_in(self, minutes: int, job: str | int) -> None:
        """Let Slurm itself end a job within so many minutes, and a half: it looks for that twice a minute."""
        elapsed = self.run(
            "squeue", "-h", "-j", str(job), "-o", "%M"
        ).strip()  # [[days-]hours:]minutes:seconds
        *hours, whole, _ = map(int, elapsed.replace("-", ":").split(":"))
        assert not hours, elapsed
        self.limit(job, whole + minutes)

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node; don't wait until the node is idle."""
        self._launch(name, *self._own_conf(), "slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """Kill the node's slurmd, its jobs and all their processes, as a loss of power would."""
        jobs = set(self.run("squeue", "-h", "-w", name, "-o", "%A", check=False).split())
        self._end(name, signal.SIGKILL)
        _kill_all(lambda: [pid for pid, job in self._job_processes().items() if job in jobs])

    def start_accounting(self) -> None:
        """Start slurmdbd; return when it answers."""
        environment = {"MYSQL_UNIX_PORT": str(self.folder / "db.socket")}
        self._launch("slurmdbd", "slurmdbd", "-D", **environment)
        self._wait("slurmdbd", lambda: self._answers("sacctmgr", "-n", "show", "cluster"))

    def stop_accounting(self) -> None:
        """Stop slurmdbd; slurmctld keeps what it has to tell until the next start."""
        self._end("slurmdbd")

    def cancel_all(self) -> None:
        """Cancel all jobs, and kill what outlives them."""
        self.run("scancel", "--me", check=False)
        self.kill_leftovers()

    def kill_leftovers(self) -> None:
        """Kill processes of jobs that have ended: those that left their process group outlive their job."""
        jobs = set(self.run("squeue", "-h", "-o", "%A", check=False).split())
        _kill_all(lambda: [pid for pid, job in self._job_processes().items() if job not in jobs])

    def _job_processes(self) -> dict[int, str]:
        """Processes of this cluster's jobs, slurmstepd included, and the jobs' ids."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                variables = (process / "environ").read_bytes().decode(errors="replace")
            except OSError:  # it has ended
                continue
            match = re.match(r"slurmstepd: \[(\d+)\.", command) or re.search(
                r"(?:^|\0)SLURM_JOB_ID=(\d+)", variables
            )
            if match and int(match[1]) in self._jobs:
                found[int(process.name)] = match[1]
        return found

    def _configure(self) -> None:
        for name in ("logs", "state"):
            (self.folder / name).mkdir(parents=True)
        ports = _free_ports(2 + len(NODES))
        self._jobs = range(JOB_IDS * ports[0], JOB_IDS * (ports[0] + 1))
        CONF_FOLDER.mkdir(exist_ok=True)
        values = {
            "folder": self.folder,
            "first_job": self._jobs.start,
            "host": socket.gethostname().split(".")[0],
            "slurmctld_port": ports[0],
            "slurmdbd_port": ports[1],
            "node_timeout_s": NODE_TIMEOUT_S,
            "requeue_s": REQUEUE_S,
        }
        node = {
            "host": values["host"],
            "cpus": CPUS_PER_NODE,
            "memory_mb": NODE_MEMORY_MB,
            "gpus": GPUS_PER_NODE,
        }
        lines = [
            NODE_LINE.format(name=name, port=port, **node)
            for name, port in zip(NODES, ports[2:], strict=True)
        ]
        self.conf.write_text(SLURM_CONF.format(nodes="\n".join(lines), **values))
        accounting = self.folder / "slurmdbd.conf"
        accounting.touch(mode=0o600)  # slurmdbd insists
        accounting.write_text(SLURMDBD_CONF.format(**values))
        self._make_gpus()

    def _own_conf(self) -> tuple[str, ...]:
        return ("unshare", "--mount", "sh", "-c", WITH_OWN_CONF, str(self.folder))

    def _make_gpus(self) -> None:
        lines = []
        for name in NODES:
            gpus = [self.folder / f"{name}-gpu{index}" for index in range(GPUS_PER_NODE)]
            for gpu in gpus:
                gpu.touch()
            files = f"{self.folder}/{name}-gpu[0-{GPUS_PER_NODE - 1}]"
            lines.append(f"NodeName={name} Name=gpu Type=k80 File={files}\n")
            lines.append(f"NodeName={name} Name=lscratch Count=100 Flags=CountOnly\n")
        (self.folder / "gres.conf").write_text("".join(lines))

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        files = {"socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / file}" for option, file in files.items()]
        # --force: a folder that only its owner may enter is refused otherwise
        self._launch("munge", "munged", "--foreground", "--force", f"--key-file={key}", *options)
        self._wait("munge", lambda: self._answers("munge", "-n", "-S", str(self.folder / "munge.socket")))

    def _start_database(self) -> None:
        data, sock = self.folder / "db", self.folder / "db.socket"
        # no durability: it only has to live as long as the tests
        own = ["--no-defaults", f"--datadir={data}", "--user=root", "--innodb-flush-log-at-trx-commit=0"]
        self.run("mariadb-install-db", *own, "--skip-test-db")
        self._launch(
            "mariadb", "mariadbd", *own, f"--socket={sock}", "--skip-networking", f"--pid-file={data}/pid"
        )
        self._wait(
            "mariadb", lambda: self._answers("mariadb-admin", "--no-defaults", f"--socket={sock}", "ping")
        )

    def _node_state(self, name: str) -> str:
        return self.run("sinfo", "-h", "-n", name, "-p", "main", "-o", "%t", check=False).strip()

    def _answers(self, *command: str) -> bool:
        return subprocess.run(command, capture_output=True, env=self.environment, check=False).returncode == 0

    def _launch(self, name: str, *command: str, **environment: str) -> None:
        with open(self.folder / "logs" / f"{name}.log", "ab") as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],  # if this process is killed, it goes too
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment | environment,
                start_new_session=True,
            )

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            ended = self._daemons[name].poll()
            if ended is not None or time.monotonic() > deadline:
                reason = f"not ready after {START_TIMEOUT_S} s" if ended is None else f"ended with {ended}"
                raise RuntimeError("\n".join([f"{name}: {reason}", *self._log_tail(name)]))
            time.sleep(POLL_S)

    def _log_tail(self, name: str) -> list[str]:
        lines = (self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        return lines[-LOG_TAIL_LINES:]

    def _end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is None:
            return
        daemon.send_signal(how)
        try:
            daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _kill_all(find: Callable[[], list[int]]) -> None:
    """Kill what ``find`` finds until it finds nothing more."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while (pids := find()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:  # all at once, so that they differ
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> None:
    with Slurm(Path(sys.argv[1])) as slurm:
        print(f"export SLURM_CONF={slurm.conf}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
