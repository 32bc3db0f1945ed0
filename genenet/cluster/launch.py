"""The same search without Snakemake: what the trainings need is made here, then submitit runs them all.

Files are the workflow's, made in its order, so that Snakemake finds them done and can go on from there.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from genenet.cluster.container import check_container, command_inside
from genenet.cluster.submission import images, make_inputs
from genenet.cluster.submitit_job import Training
from genenet.cluster.submitit_launcher import (
    Options,
    choose_cluster,
    ends_of,
    run_locally,
    slurm_parameters,
    submit_array,
)
from genenet.config import stages
from genenet.config.model import Config
from genenet.core.atomic_files import read_json
from genenet.core.errors import InputError
from genenet.core.logs import ERROR
from genenet.core.paths import ResultPaths, RunPaths
from genenet.core.resources import available_cores
from genenet.core.version import announce_launcher


def submit(config: Config, options: Options) -> bool:
    """Make what is missing, train what isn't trained, tell how each ends; whether none has crashed.

    Without waiting, it says how to watch.

    Raises:
        InputError: If there is no such cluster, container or partition, if images can't be used, or if the search
            isn't random.
    """
    if config.search.strategy != "random":
        raise InputError(
            f"search.strategy {config.search.strategy}: its trainings depend on each other, and submit starts all at "
            "once; use snakemake --profile profiles/slurm (or local)"
        )
    paths, cluster = ResultPaths(config.results), choose_cluster(options)
    announce_launcher()
    if config.container:
        _try_container(config, options.container_args)
    program = command_line(config.container, options.container_args)
    make_inputs(config, paths, program)
    trainings = [training(paths, run, program) for run in stages.runs(config)]
    missing = [each for each in trainings if not each.is_done()]
    print(f"{len(trainings)} trainings, {len(missing)} of them to do", flush=True)
    if missing:
        run = _on_slurm if cluster == "slurm" else _here
        _tell(run(missing, paths.results / "logs", options, config.training.threads))
    return summarise(trainings, cluster) if options.wait else True


def _try_container(config: Config, arguments: str) -> None:
    config.results.mkdir(parents=True, exist_ok=True)
    given = [path for split in ("train", "validation") for path in images(config, split) if path.exists()]
    check_container(f"{config.container}", f"--nv {arguments}", map(str, [config.results, *given]))


def _here(trainings: list[Training], logs: Path, options: Options, threads: int) -> Generator[Training]:
    return run_locally(trainings, logs / "submit", options.jobs or max(1, available_cores() // threads))


def _on_slurm(trainings: list[Training], logs: Path, options: Options, threads: int) -> Generator[Training]:
    jobs = submit_array(trainings, logs / "submit", slurm_parameters(options, threads))
    array = next(iter(jobs)).partition("_")[0]
    print(f"Slurm job {array}; watch it: squeue -j {array}, and the logs in {logs}/train/", flush=True)
    if options.wait:
        yield from ends_of(jobs)


def command_line(container: str | None, arguments: str) -> list[str]:
    """Return how genenet is called, up to its command."""
    if not container:
        return [sys.executable, "-m", "genenet"]
    return [*command_inside(container, f"--nv {arguments}"), "genenet"]


def training(paths: ResultPaths, run: str, program: list[str]) -> Training:
    """Return the training of a run, with the command line of the workflow's rule."""
    out = paths.run(run)
    inputs = {
        "--genome": paths.genome(run),
        "--train": paths.data("train"),
        "--validation": paths.data("validation"),
        "--settings": paths.settings(stages.train_stage(run)),
    }
    options = [text for pair in inputs.items() for text in pair]
    log = paths.train_log(run)
    command = [*program, "train", *options, "--out", str(out.folder), "--log", log]
    return Training(run, command, str(Path.cwd()), list(inputs.values()), out.outputs(), log)


def _tell(ends: Generator[Training]) -> None:
    with closing(ends):
        for each in ends:
            print(f"{each.run:<20} {': '.join(outcome(each))}", flush=True)


def outcome(training: Training) -> tuple[str, str]:
    """Return a training's status (``crashed``, if it hasn't published any), and its score or what went wrong."""
    if training.is_done():
        scores = read_json(RunPaths(Path(training.outputs[0]).parent).scores)
        if scores["status"] != "ok":
            return scores["status"], scores["reason"]
        ari = scores["validation"]["ari"]
        return "ok", "ARI -" if ari is None else f"ARI {ari:.3f}"
    log = Path(training.log)
    last = log.read_text(encoding="utf-8", errors="replace").rpartition("\n--- ")[2] if log.exists() else ""
    errors = [line.removeprefix(ERROR) for line in last.splitlines() if line.startswith(ERROR)]
    return "crashed", errors[-1] if errors else "ended without a result"


def summarise(trainings: list[Training], profile: str) -> bool:
    """Print how many trainings went well, and why others didn't; return whether none has crashed."""
    ends = {each: outcome(each) for each in trainings}
    print(f"{sum(status == 'ok' for status, _ in ends.values())} of {len(ends)} trainings ok")
    for each, (status, text) in ends.items():
        if status != "ok":
            print(f"  {each.run}: {status}: {text}; see {each.log}")
    print(f"next: snakemake --profile profiles/{profile} (selects, segments, writes the report)", flush=True)
    return not any(status in ("crashed", "failed") for status, _ in ends.values())
