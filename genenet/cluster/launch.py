"""Runs all trainings of a search through submitit, without a Snakemake that waits for them.

The workflow makes the inputs of the trainings, and finds the trainings done when it continues.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from genenet.cluster.container import check_search_container, command_inside, given_images
from genenet.cluster.environment import set_up_jobs
from genenet.cluster.submit_options import PAUSE_SECONDS, Options
from genenet.cluster.submitit_job import TrainingJob
from genenet.cluster.submitit_launcher import choose_cluster, run_locally, run_on_slurm
from genenet.cluster.workflow import make
from genenet.config import planned_runs
from genenet.config.model import Config, read_config
from genenet.config.planned_controls import needs_ranking
from genenet.core.errors import InputError
from genenet.core.logs import ERROR
from genenet.core.paths import ResultPaths
from genenet.search import retry
from genenet.training.outcome_reader import read_outcome

OWN_PROGRAM = [sys.executable, "-m", "genenet"]
CRASHED = "crashed"  # a training that ended without publishing an outcome


def submit(file: Path, options: Options) -> bool:
    """Make what is missing, train what isn't trained, and print how each training ends.

    Without ``options.wait`` it prints how to watch the trainings instead.

    Args:
        file: the search's config file.
        options: where and how the trainings run.

    Returns:
        Whether no training has failed or is unfinished.

    Raises:
        InputError: If there is no such cluster, container or partition, if images can't be used, or if the search
            isn't random.
    """
    config = read_config(file)
    if config.search.strategy != "random":
        raise InputError(
            f"search.strategy {config.search.strategy}: its trainings depend on each other, and submit starts all at "
            "once; use snakemake --profile profiles/slurm (or local)"
        )
    cluster = choose_cluster(options)
    set_up_jobs()
    paths, image = ResultPaths(config.results), options.image(config.container)
    apptainer_args = f"--nv {options.container_args}"
    if image:
        check_search_container(config, image, apptainer_args)
    program = [*command_inside(image, apptainer_args), "genenet"] if image else OWN_PROGRAM
    runs = independent_runs(config)
    jobs = [training_job(paths, run, program, options.pause_seconds) for run in runs]
    _make_inputs(config, file, jobs, image, apptainer_args)
    missing = [job for job in jobs if not job.is_done()]
    print(f"{len(jobs)} trainings, {len(missing)} of them to do", flush=True)
    if n_later := len(planned_runs.trainings(config)) - len(runs):
        print(f"{n_later} more are controls of the best network; snakemake trains them after the selection")
    if missing:
        run = run_on_slurm if cluster == "slurm" else run_locally
        with closing(run(missing, paths.results / "logs", options, config.training.threads)) as ended:
            for job in ended:
                print(f"{job.run:<20} {': '.join(ending(job, paths))}", flush=True)
    return print_summary(jobs, paths, cluster) if options.wait else True


def independent_runs(config: Config) -> list[str]:
    """Return the names of the trainings that can begin before the networks are ranked."""
    return [run for run in planned_runs.trainings(config) if not needs_ranking(run)]


def _make_inputs(config: Config, file: Path, jobs: list[TrainingJob], image: str | None, args: str) -> None:
    """Let the workflow make the inputs of all jobs; print which settings have changed since they were last made."""
    for path in given_images(config, [*config.data.train, *config.data.validation]):
        if not path.exists():
            raise InputError(f"{path}: no such file")
    before = {path: path.read_bytes() for path in (config.results / "settings").glob("*.json")}
    make([path for job in jobs for path in job.inputs], file, image, args)
    for path, content in before.items():
        if path.read_bytes() != content:
            print(f"settings of {path.stem} have changed: what depends on them is made anew", flush=True)


def training_job(
    paths: ResultPaths, run: str, program: list[str], pause_seconds: float = PAUSE_SECONDS
) -> TrainingJob:
    """Return the training of a run, with the command line of the workflow's rule."""
    out = paths.run(run)
    inputs = {
        "--genome": paths.genome(run),
        "--train": paths.training_data(run, "train"),
        "--validation": paths.training_data(run, "validation"),
        "--settings": paths.settings(planned_runs.train_stage(run)),
    }
    options = [text for pair in inputs.items() for text in pair]
    log = paths.train_log(run)
    command = [*program, "train", *options, "--out", str(out.folder), "--log", log]
    made_from = list(inputs.values())
    return TrainingJob(run, command, str(Path.cwd()), made_from, out.outputs(), log, pause_seconds)


def ending(job: TrainingJob, paths: ResultPaths) -> tuple[str, str]:
    """Return a training's status (``crashed`` if it hasn't published any), and its score or what went wrong."""
    outcome = read_outcome(paths, job.run)
    if job.is_done() and outcome.status:
        score = "ARI -" if outcome.ari is None else f"ARI {outcome.ari:.3f}"
        return outcome.status, score if outcome.is_ok else outcome.reason
    log = Path(job.log)
    last = log.read_text(encoding="utf-8", errors="replace").rpartition("\n--- ")[2] if log.exists() else ""
    errors = [line.removeprefix(ERROR) for line in last.splitlines() if line.startswith(ERROR)]
    return CRASHED, errors[-1] if errors else "ended without a result"


def print_summary(jobs: list[TrainingJob], paths: ResultPaths, profile: str) -> bool:
    """Print how many trainings went well, and why others didn't; return whether none has failed or is unfinished."""
    ends = {job: ending(job, paths) for job in jobs}
    print(f"{sum(status == 'ok' for status, _ in ends.values())} of {len(ends)} trainings ok")
    for job, (status, text) in ends.items():
        if status != "ok":
            print(f"  {job.run}: {status}: {text}; see {job.log}")
    if advice := retry.advice(paths):
        print(advice)
    print(f"next: snakemake --profile profiles/{profile} (selects, segments, writes the report)", flush=True)
    return not any(status in (CRASHED, "failed", "unfinished") for status, _ in ends.values())
