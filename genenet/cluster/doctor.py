"""``genenet doctor``: reports what this machine offers a search, and what must be corrected."""

from __future__ import annotations

import os
import re
import shutil
import sys
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.cluster import slurm_plugin
from genenet.cluster.diagnosis import Answer, Finding, ask, first_of, note, ok, probe, problem
from genenet.cluster.environment import SNAKEMAKE, WHY, home_problem, is_too_old
from genenet.cluster.gpu_check import look_at_gpu
from genenet.core.errors import one_line
from genenet.core.resources import available_cores, gpu_granted, in_job
from genenet.core.version import container_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEFAULT_RESULTS, DEFAULT_THREADS = Path("results"), 1
GB = 1e9
LITTLE_SPACE, NO_SPACE = 10 * GB, 1 * GB
LIBRARIES = ("numpy", "zarr")
LAUNCHERS = ("snakemake", "snakemake-executor-plugin-slurm", "submitit")


def examine(config: Path | None, results: Path | None) -> list[Finding]:
    """Run all checks. Errors become findings; nothing is raised.

    Args:
        config: gives the results folder and the number of threads; None is config.yaml, if there is one.
        results: replaces the results folder of the config.
    """
    wrong, folder, threads = _wanted(config)
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        "versions": _versions,
        "launcher": _launcher,
        "images": _images,
        "torch": look_at_gpu,
        "cores": partial(_cores, threads),
        "space": partial(_space, results or folder),
        "Slurm": _slurm,
        "container": _container,
    }
    return wrong + [finding for topic, look in looks.items() for finding in probe(topic, look)]


def _wanted(config: Path | None) -> tuple[list[Finding], Path, int]:
    """Return the errors of the config, its results folder and its number of threads."""
    path = config or Path("config.yaml")
    try:
        if config is None and not path.exists():
            return [], DEFAULT_RESULTS, DEFAULT_THREADS
        from genenet.config.model import read_config

        read = read_config(path)
    except Exception as error:
        return [problem("config", one_line(error))], DEFAULT_RESULTS, DEFAULT_THREADS
    return [], read.results, read.training.threads


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    here = [f"{name} {version}" for name in ("genenet", *LIBRARIES) if (version := _version(name))]
    yield ok("versions", ", ".join([*here, f"Python {python}"]))
    launchers = [f"{name} {version}" for name in LAUNCHERS if (version := _version(name))]
    missing = [name for name in LAUNCHERS if not _version(name)]
    text = ", ".join(launchers) + "; " * bool(launchers and missing)
    if not missing:
        yield ok("workflow", text)
    else:
        hint = "needed only where the search is started: pip install -e '.[workflow]', or environment.yml"
        yield note("workflow", f"{text}not here: {', '.join(missing)}", hint)


def _images() -> Iterator[Finding]:
    """Look whether the libraries of all image formats are installed."""
    from genenet.volumes.formats import FORMATS, format_names

    installed = [each for each in FORMATS if each.is_installed]
    yield ok("images", f"{format_names(installed)} can be read")
    for each in FORMATS:
        if not each.is_installed:
            text = f"{each.name} can't be read: {each.library} isn't installed"
            yield note("images", text, f"pip install 'genenet[{each.extra}]', if you have such files")


def _launcher() -> Iterator[Finding]:
    """Look at what only the launcher of a search needs: its Snakemake, the Slurm plugin, a folder for their cache."""
    version = _version("snakemake")
    if version and is_too_old(version):
        yield problem("Snakemake", f"{version} is too old: {WHY}", f"pip install 'snakemake>={SNAKEMAKE}'")
    plugins = slurm_plugin.installed()
    if plugins and plugins != slurm_plugin.TRIED:
        text = ", ".join(f"{name} {version}" for name, version in plugins.items())
        tried = " ".join(f"{name}=={version}" for name, version in slurm_plugin.TRIED.items())
        hint = f"jobs are submitted one by one, not as arrays; tried were: pip install {tried}"
        yield note("Slurm plugin", f"{text}: not tested with genenet", hint)
    if version and (reason := home_problem()):
        yield problem("home", reason, "export XDG_CACHE_HOME=$PWD/.snakemake/cache")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cores(threads: int) -> Iterator[Finding]:
    given = os.environ.get("SLURM_CPUS_PER_TASK", "") if in_job() else ""
    cores = min(available_cores(), int(given) if given.isdigit() else sys.maxsize)
    text = f"{cores} for this process; training.threads is {threads}"
    if given:
        text = f"{available_cores()} for this process, SLURM_CPUS_PER_TASK is {given}; training.threads is {threads}"
    if omp := os.environ.get("OMP_NUM_THREADS"):
        text += f" (OMP_NUM_THREADS is {omp}, which genenet ignores)"
    if cores >= threads:
        yield ok("cores", text)
    else:
        hint = f"give the job {threads} cores (cpus_per_task), or set training.threads: {cores}"
        yield problem("cores", text, hint)


def _space(results: Path) -> Iterator[Finding]:
    folder = results.absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK):
        yield note("space", f"{there} isn't writable, so results can't go to {results}", "give --results")
        return
    free = shutil.disk_usage(there).free
    text = f"{_size(free)} free for {results}, on the file system of {there}"
    if free < NO_SPACE:
        yield problem("space", text, "free some, or choose another results: folder")
    elif free < LITTLE_SPACE:
        yield note("space", text, "each segmentation takes about as much as its image")
    else:
        yield ok("space", text)


def _size(n_bytes: int) -> str:
    n = n_bytes / GB
    return f"{n / 1000:.1f} TB" if n >= 1000 else f"{n:.0f} GB" if n >= 10 else f"{n:.1f} GB"


def _slurm() -> Iterator[Finding]:
    if in_job():
        yield _job()
    missing = [program for program in ("sbatch", "sinfo") if not shutil.which(program)]
    if missing:
        yield note("Slurm", f"no {' and no '.join(missing)} here: jobs can't be submitted from here")
        return
    nodes = ask("sinfo", "--noheader", "--format=%P|%G")
    if nodes.ok:
        version = ask("sinfo", "--version").text.removeprefix("slurm-wlm ").removeprefix("slurm ")
        yield ok("Slurm", f"{version}, slurmctld answers; {describe_partitions(nodes.text)}")
        yield _accounting()
    elif "configuration source" in nodes.text or "slurm.conf" in nodes.text:
        yield note("Slurm", "its programs are here, but no cluster is configured: no slurm.conf")
    else:
        text = f"slurmctld doesn't answer ({_last_line(nodes) or 'sinfo failed'})"
        yield problem("Slurm", text, "try sinfo, or again later")


def _accounting() -> Finding:
    answer = ask("sacct", "--allocations", "--noheader", "--starttime=now", "--format=jobid")
    if answer.ok:
        return ok("accounting", "sacct answers")
    hint = "the workflow learns from sacct what became of its jobs; genenet submit does without"
    text = f"sacct doesn't answer ({_last_line(answer) or 'it failed'})"
    return problem("accounting", text, hint)


def _job() -> Finding:
    at = os.environ.get("SLURM_JOB_PARTITION")
    where = f" of partition {at}" if at else ""
    gpu = "granted a GPU" if gpu_granted() else "not granted a GPU"
    return ok("Slurm job", f"this is job {os.environ['SLURM_JOB_ID']}{where}, {gpu}")


def _last_line(answer: Answer) -> str:
    return answer.text.splitlines()[-1] if answer.text else ""


def describe_partitions(lines: str) -> str:
    """Describe what ``sinfo --format=%P|%G`` lists: partitions with GPUs and their models, then the others."""
    models: dict[str, list[str]] = {}
    for line in lines.splitlines():
        name, _, resources = line.strip().partition("|")
        known = models.setdefault(name.rstrip("*"), [])
        found = re.findall(r"\bgpu(?::([A-Za-z][^:,(]*))?(?::\d+)?", resources)
        known.extend(model for model in (m or "any model" for m in found) if model not in known)
    with_gpus = [f"{name} ({', '.join(known)})" for name, known in models.items() if known]
    others = [name for name, known in models.items() if not known]
    text = f"GPUs in {_some(with_gpus)}" if with_gpus else "no partition has GPUs"
    return f"{text}; other partitions: {_some(others)}" if others else text


def _some(names: list[str], n: int = 8) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def _container() -> Iterator[Finding]:
    if image := container_image():
        yield ok("container", f"inside {image}")
    elif program := first_of("apptainer", "singularity"):
        answer = ask(program, "--version")
        if answer.ok:
            yield ok("container", answer.text.replace(" version", ""))
        else:
            yield problem("container", f"{program} doesn't run: {answer.text}")
    else:
        hint = "not needed with container: null; on many clusters: module load apptainer"
        yield note("container", "no apptainer and no singularity here", hint)
