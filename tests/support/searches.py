"""Run the workflow on the cluster as a user would, and look at what became of it."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.search import ROOT, Search

SLURM_PROFILE = ROOT / "profiles/slurm"
# the Slurm plugin looks 16 s later once more, when most jobs here are over, and then after 26 s
FIRST_CHECK_S = 6
QUICK = [  # the profile's numbers are for clusters with hundreds of jobs; here seconds count
    *("--slurm-init-seconds-before-status-checks", str(FIRST_CHECK_S), "--latency-wait", "20", "--jobs", "5"),
    *("--default-resources", "slurm_account=lab", "runtime=10", "mem_mb=1000", "disk_mb=1000"),
]


def until(condition, seconds, what, state=lambda: None):
    """Wait for a condition; fail with ``what`` if it isn't met and ``state()`` is the same for so many seconds."""
    before, deadline = state(), time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            after = state()
            if after == before:  # an assertion would show its arguments in full, for each test
                text = what() if callable(what) else what
                pytest.fail(f"no progress for {seconds} s: {text[-12000:]}", pytrace=False)
            before, deadline = after, time.monotonic() + seconds
        time.sleep(0.2)
    return value


class ClusterSearch(Search):
    """A working folder whose jobs run on the cluster."""

    def __init__(self, slurm, folder, *configs):
        super().__init__(folder, *configs)
        self.slurm, self.profile, self.quick = slurm, SLURM_PROFILE, QUICK
        self.environment = {
            **slurm.environment,
            "PATH": f"{Path(sys.executable).parent}:{slurm.environment['PATH']}",
            "PWD": str(self.folder),  # as a shell sets it, links included
        }

    def edit_profile(self, *changes):
        """Use a copy of the profile, edited as a user does: old and new text, each at its first place or all."""
        text = (SLURM_PROFILE / "config.yaml").read_text()
        for old, new, *once in changes:
            assert old in text, old
            text = text.replace(old, new, *once)
        self.profile, self.quick = self.folder / "profile", []
        self.profile.mkdir()
        (self.profile / "config.yaml").write_text(text)

    def without_torch(self, folder):
        """Let no Python of the launcher's environment import torch: only the image has it."""
        (folder / "torch.py").write_text("raise ImportError('torch is in the image only')\n")
        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))

    def on_cluster(self, *more, check=True):
        """Run Snakemake with the Slurm profile, from here; return what it printed."""
        return self.with_profile(self.profile, *more, *self.quick, check=check, environment=self.environment)

    def sbatch_controller(self, *more, sbatch=()):
        """Submit the controller, with options of snakemake and of sbatch; return its job id."""
        command = [
            "sbatch",
            "--parsable",
            "--account=lab",
            "--mem=1G",
            *sbatch,
            str(SLURM_PROFILE / "controller.sbatch"),
        ]
        done = subprocess.run(
            [*command, *self.arguments(*more, *self.quick)],
            cwd=self.folder,
            env={**self.environment, "GENENET_PROFILE": str(self.profile)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def log(self):
        """Return what the controllers have said so far."""
        path = self.folder / "genenet.log"
        return path.read_text() if path.exists() else ""

    def genenet_train(self, run, out, settings=None):
        """Train on this machine, outside of the cluster."""
        data = [self.results / f"data/{split}.zarr.zip" for split in ("train", "validation")]
        settings = settings or self.results / "settings/train.json"
        options = zip(("--train", "--validation", "--settings", "--out"), (*data, settings, out), strict=True)
        genome = ("--genome", self.results / f"genomes/{run}.json")
        command = [sys.executable, "-m", "genenet", "train", *genome, *(x for pair in options for x in pair)]
        subprocess.run(command, capture_output=True, check=True)

    def run_folder(self, run):
        return self.results / "runs" / run

    def attempts(self, run):
        """Return the attempts at a training so far."""
        path = self.run_folder(run) / "attempts.json"
        return json.loads(path.read_text())["attempts"] if path.exists() else []

    def age_s(self, run):
        """Return how long ago the last attempt at a training began."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.attempts(run)[-1]["began"])).total_seconds()

    def holder(self, run):
        """Return who trains in a run directory now: host, pid, slurm_job_id; {} if nobody."""
        try:
            return json.loads((self.run_folder(run) / "lock").read_text())
        except (OSError, json.JSONDecodeError):
            return {}

    def trainer(self, run):
        """Return who trains now and has a checkpoint to continue from, as ``holder`` does; {} if nobody."""
        holder, attempts = self.holder(run), self.attempts(run)
        job = holder.get("slurm_job_id")
        begun = attempts and attempts[-1]["exit"] is None and attempts[-1]["slurm_job_id"] == job
        return holder if begun and self.has_checkpoint(run) else {}

    def freeze(self, run):
        """Stop a training where it is, so that it neither ends nor keeps to its clock, until it continues."""
        self._send(run, signal.SIGSTOP)

    def resume(self, run):
        """Let a frozen training continue."""
        self._send(run, signal.SIGCONT)

    def _send(self, run, number):
        if pid := self.holder(run).get("pid"):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)

    def published(self, run):
        return (self.run_folder(run) / "scores.json").exists()

    def scores(self, run):
        return json.loads((self.run_folder(run) / "scores.json").read_text())

    def has_checkpoint(self, run):
        return (self.run_folder(run) / "checkpoint.pt").exists()


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def most_at_once(jobs, begin="Start"):
    """Return how many of sacct's jobs were there at the same time at most, from ``begin`` to End."""
    moments = []
    for job in jobs:
        if job[begin] not in ("Unknown", "None"):
            start = datetime.fromisoformat(job[begin])
            end = (
                datetime.fromisoformat(job["End"]) if job["End"] not in ("Unknown", "None") else datetime.max
            )
            moments += [(start, 1), (end, -1)]
    there = most = 0
    for _, change in sorted(moments):  # at the same second, an end comes before a begin
        there += change
        most = max(most, there)
    return most
