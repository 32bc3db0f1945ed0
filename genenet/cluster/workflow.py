"""Runs the workflow, which is Snakemake on this machine, to make files that other steps need."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from genenet.core.errors import InputError
from genenet.core.logs import ERROR

PROJECT = Path(__file__).parents[2]  # the checkout that this genenet is installed from
CORES = 2  # enough for quick steps on a login node


def make(targets: Iterable[str], config: Path, container: str | None, apptainer_args: str) -> None:
    """Let the workflow make ``targets`` and whatever they depend on, if it is missing or out of date.

    Args:
        targets: files below the results folder.
        config: the search's config file.
        container: image that jobs run in, instead of the config's; None for none.
        apptainer_args: options of ``apptainer exec``.

    Raises:
        InputError: If the workflow isn't here, or a step of it fails; with the errors of its log.
    """
    snakefile = PROJECT / "workflow/Snakefile"
    if not snakefile.exists():
        raise InputError(f"{snakefile}: no such file; install genenet from its checkout: pip install -e .")
    deployment = ["--software-deployment-method", "apptainer", f"--apptainer-args= {apptainer_args}"]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as changes:
        json.dump({"container": container}, changes)
        changes.flush()
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)),
            *("--profile", str(PROJECT / "profiles/local"), "--cores", str(CORES)),
            *("--configfile", str(config), changes.name, *(deployment if container else [])),
            *("--", *sorted(set(targets))),
        ]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if done.returncode:
        raise InputError("\n".join(errors_in(done.stdout)))


def errors_in(output: str) -> list[str]:
    """Return the messages of genenet in what Snakemake printed, each once; without any, its last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("cannot be locked" in line for line in lines):
        return ["another Snakemake works in this folder; wait for it (after a crash: snakemake --unlock)"]
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    return list(dict.fromkeys(errors)) or ["the workflow failed:", *lines[-5:]]
