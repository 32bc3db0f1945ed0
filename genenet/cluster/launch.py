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
from genenet.config import planned_packs, planned_runs
from genenet.config.model import Config, read_config
from genenet.config.planned_controls import needs_ranking
from genenet.core.errors import InputError
from genenet.core.logs import ERROR
from genenet.core.paths import ResultPaths, fold_run, of_span
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
    jobs = planned_jobs(config, paths, program, options.pause_seconds)
    runs = [run for job in jobs for run in job.runs]
    _make_inputs(config, file, jobs, image, apptainer_args)
    missing = [job for job in jobs if not job.is_done()]
    print(counted(jobs, missing), flush=True)
    if n_later := len(planned_runs.trainings(config)) - len(runs):
        print(f"{n_later} more are controls of the best network; snakemake trains them after the selection")
    if missing:
        run = run_on_slurm if cluster == "slurm" else run_locally
        cores = config.training.threads * config.training.per_job
        with closing(run(missing, paths.results / "logs", options, cores)) as ended:
            for each in (each for job in ended for each in job.trainings):
                print(f"{each.run:<20} {': '.join(ending(each, paths))}", flush=True)
    return print_summary(jobs, paths, cluster) if options.wait else True


def independent_runs(config: Config) -> list[str]:
    """Return the names of the trainings that can begin before the networks are ranked."""
    return [run for run in planned_runs.trainings(config) if not needs_ranking(run)]


def planned_jobs(
    config: Config, paths: ResultPaths, program: list[str], pause_seconds: float = PAUSE_SECONDS
) -> list[TrainingJob]:
    """Return the jobs of all trainings that can begin at once: the genomes in packs, each of the others alone."""
    runs, per_job = independent_runs(config), config.training.per_job
    starts = config.start is not None
    jobs = {run: training_job(paths, run, program, pause_seconds, starts) for run in runs}
    if per_job == 1:
        return list(jobs.values())
    packs = []
    for round_ in planned_runs.search_rounds(config):
        for fold in planned_runs.folds(config) or [None]:
            for span in planned_packs.spans(round_.n_genomes, per_job):
                names = [round_.runs[index] for index in of_span(span)]
                names = names if fold is None else [fold_run(name, fold) for name in names]
                members = [jobs.pop(name) for name in names]
                packs.append(_pack_job(config, paths, round_.number, span, fold, members, program))
    return [*packs, *jobs.values()]


def _pack_job(
    config: Config,
    paths: ResultPaths,
    round_: int,
    span: str,
    fold: int | None,
    members: list[TrainingJob],
    program: list[str],
) -> TrainingJob:
    """Return the job that trains a pack, with the command line of the workflow's rule."""
    receipt = paths.pack(round_, span, fold)
    log = paths.pack_log(round_, span, fold)
    values = {
        "--results": str(paths.results),
        "--round": str(round_),
        "--span": span,
        **({} if fold is None else {"--fold": str(fold)}),
        "--receipt": receipt,
        "--cores": str(config.training.threads * config.training.per_job),
        "--log": log,
    }
    options = [text for pair in values.items() for text in pair]
    inputs = list(dict.fromkeys(path for each in members for path in each.inputs))
    outputs = [path for each in members for path in each.outputs]
    return TrainingJob(
        run=f"r{round_}/{span}",
        command=[*program, "train-pack", *options],
        folder=str(Path.cwd()),
        inputs=inputs,
        outputs=outputs,
        log=log,
        pause_seconds=members[0].pause_seconds,
        members=members,
    )


def counted(jobs: list[TrainingJob], missing: list[TrainingJob]) -> str:
    """Return the line that says how many trainings there are, and how many of them are to do."""
    n, n_missing = (sum(len(job.runs) for job in each) for each in (jobs, missing))
    n_done = sum(each.is_done() for job in missing for each in job.trainings)
    in_jobs = f" in {len(missing)} job{'s' * (len(missing) != 1)}" if n > len(jobs) else ""
    return f"{n} trainings, {n_missing - n_done} of them to do{in_jobs}"


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
    paths: ResultPaths,
    run: str,
    program: list[str],
    pause_seconds: float = PAUSE_SECONDS,
    starts: bool = False,
) -> TrainingJob:
    """Return the training of a run, with the command line of the workflow's rule.

    ``starts`` says whether trainings begin with the weights of another search (``training.start``).
    """
    out, inputs = paths.run(run), planned_runs.training_inputs(paths, run)
    options = [text for pair in inputs.items() for text in pair]
    options += ["--results", str(paths.results)] if starts else []
    log = paths.train_log(run)
    command = [*program, "train", *options, "--out", str(out.folder), "--log", log]
    made_from = [*inputs.values(), *[paths.start] * starts]
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
    ends = {each: ending(each, paths) for job in jobs for each in job.trainings}
    print(f"{sum(status == 'ok' for status, _ in ends.values())} of {len(ends)} trainings ok")
    for job, (status, text) in ends.items():
        if status != "ok":
            print(f"  {job.run}: {status}: {text}; see {job.log}")
    if advice := retry.advice(paths):
        print(advice)
    print(f"next: snakemake --profile profiles/{profile} (selects, segments, writes the report)", flush=True)
    return not any(status in (CRASHED, "failed", "unfinished") for status, _ in ends.values())
