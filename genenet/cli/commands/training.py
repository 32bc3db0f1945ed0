"""Commands for trainings, and for the selection of the ensemble."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from genenet.cli.commands import (
    BY_HAND,
    CONFIG,
    SEARCH,
    ConfigFile,
    Receipt,
    Results,
    Settings,
    StopAfter,
    app,
)
from genenet.cli.options import given, options_of
from genenet.cluster.submit_options import Options
from genenet.core import exit_codes


@app.command(rich_help_panel=BY_HAND)
def train(
    genome: Annotated[Path, typer.Option(help="a genome's JSON file")],
    train: Annotated[Path, typer.Option(help="prepared training images")],
    validation: Annotated[Path, typer.Option(help="prepared validation images")],
    settings: Settings,
    out: Annotated[Path, typer.Option("--out", help="the run's folder")],
    results: Annotated[
        Path | None,
        typer.Option(
            help="the results folder with the parents or with start.json, if the settings are of trainings that begin "
            "with other weights (search.evolution.inherit_weights, training.start)"
        ),
    ] = None,
    stop_after_minutes: StopAfter = None,
) -> None:
    """Train one genome; after an interruption, the same command continues from the last checkpoint."""
    from genenet.cli.progress import show_training
    from genenet.core.attempts import exit_codes_by_ending
    from genenet.core.paths import ResultPaths, RunPaths, of_fold
    from genenet.core.resources import keep_freed_memory
    from genenet.ensembles.start import start_of
    from genenet.search.parents import parent_of
    from genenet.training.run import TrainingRun
    from genenet.training.stopping import Stop

    keep_freed_memory()
    run = TrainingRun(genome, train, validation, settings, RunPaths(out))
    if results:
        paths = ResultPaths(results)
        name = out.as_posix().removeprefix(f"{paths.run('').folder.as_posix()}/")
        parent = partial(parent_of, paths, of_fold(name)[1])
        run = replace(run, parent_of=parent, start_of=partial(start_of, paths, name))
    with exit_codes_by_ending(), Stop(stop_after_minutes).on_signals() as stop:
        finished = run.run(stop, show_training)
    if not finished:
        sys.exit(exit_codes.STOPPED)


@app.command("train-pack", rich_help_panel=BY_HAND)
def train_pack(
    results: Annotated[Path, typer.Option(help="the results folder")],
    round_: Annotated[int, typer.Option("--round", min=0, help="number of the round")],
    span: Annotated[
        str, typer.Option(help="the first and the last genome, or slot of a rung, such as 000-007")
    ],
    settings: Annotated[
        Path | None,
        typer.Option(help="the settings of the trainings; default: settings/train.json of the results"),
    ] = None,
    receipt: Receipt = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="the fold that is trained in, if there are any")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="iterations at the end of the rung; only for slots of a rung")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(min=1, help="iterations at the end of the rung before; not for the first rung"),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="CPU cores to use; default: all of this job")
    ] = None,
    stop_after_minutes: StopAfter = None,
) -> None:
    """Train several genomes, or slots of a rung, in one job: as many side by side as fit (training.per_job)."""
    from genenet.cluster import pack_members
    from genenet.cluster.pack import Pack, write_receipt
    from genenet.cluster.pack_room import room_by_settings
    from genenet.core.attempts import exit_codes_by_ending
    from genenet.core.paths import ResultPaths
    from genenet.training.stopping import Stop

    paths = ResultPaths(results)
    settings = settings or Path(paths.settings("train"))
    with exit_codes_by_ending(), Stop(stop_after_minutes).on_signals() as stop:
        room = room_by_settings(settings, cores)
        if iterations:
            members = pack_members.slots(paths, round_, span, room, iterations, after, settings)
        else:
            members = pack_members.trainings(paths, round_, span, room, fold, settings)
        code = Pack(members, room, stop).run()
        if not code and receipt:
            write_receipt(receipt, members)
    sys.exit(code)


@app.command(rich_help_panel=BY_HAND)
def join(
    results: Annotated[Path, typer.Option(help="the results folder")],
    run: Annotated[str, typer.Option(help="name of the run, such as r0/003")],
    folds: Annotated[int, typer.Option(min=2, help="number of its folds, which all have been trained")],
) -> None:
    """Join the trainings of all folds of a genome, so that they are read as one training (data.folds)."""
    from genenet.core.paths import ResultPaths
    from genenet.training.joined_folds import join_folds

    join_folds(ResultPaths(results), run, folds)


@app.command(rich_help_panel=BY_HAND)
def select(
    runs: Annotated[
        list[str],
        typer.Argument(help="names of runs, such as r0/000 or baselines/unet2015; r0:80 is r0/000 to r0/079"),
    ],
    results: Annotated[Path, typer.Option(help="the results folder")],
    settings: Settings,
) -> None:
    """Rank the runs, compute the curve of the best-k ensembles, and write the chosen ensemble."""
    from genenet.config.rounds import expanded
    from genenet.config.settings import SelectSettings, read_settings
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.select import select as run

    run(ResultPaths(results), expanded(runs), read_settings(settings, SelectSettings))


@app.command(rich_help_panel=BY_HAND)
def refit(
    results: Annotated[Path, typer.Option(help="the results folder")],
    rank: Annotated[int, typer.Option(min=0, help="rank of the member in the ensemble, from 0")],
    settings: Settings,
    stop_after_minutes: StopAfter = None,
) -> None:
    """Train a member of the ensemble anew with training and validation images together (ensemble.refit)."""
    from genenet.cli.progress import show_training
    from genenet.core.attempts import exit_codes_by_ending
    from genenet.core.paths import ResultPaths, slot_name
    from genenet.core.resources import keep_freed_memory
    from genenet.ensembles.refit import refit as run
    from genenet.training.stopping import Stop

    keep_freed_memory()
    with exit_codes_by_ending(), Stop(stop_after_minutes).on_signals() as stop:
        finished = run(ResultPaths(results), slot_name(rank), settings, stop, show_training)
    if not finished:
        sys.exit(exit_codes.STOPPED)


@app.command("refit-ensemble", rich_help_panel=BY_HAND)
def refit_ensemble(
    results: Annotated[Path, typer.Option(help="the results folder")], settings: Settings
) -> None:
    """Write the ensemble with the weights of its refitted members."""
    from genenet.config.settings import SelectSettings, read_settings
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.refit import refit_ensemble as run

    run(ResultPaths(results), read_settings(settings, SelectSettings))


@app.command(rich_help_panel=SEARCH)
@options_of(Options)
def submit(config: ConfigFile = CONFIG, **options: Any) -> None:
    """Train all networks of a search without Snakemake: one job array on Slurm, or local processes."""
    from genenet.cluster.launch import submit as run
    from genenet.core.validation import validate

    wanted = validate(Options, given(Options, options), "submit")
    sys.exit(0 if run(config, wanted) else 1)


@app.command(rich_help_panel=SEARCH)
def retry(
    results: Results = Path("results"),
    names: Annotated[
        list[str] | None,
        typer.Argument(help="trainings, such as r0/003; default: all with one of the statuses"),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="a status to retry; may be repeated; default: unfinished, failed and out_of_memory"
        ),
    ] = None,
) -> None:
    """Retry trainings and parts of segmentations that ended with an error, once its cause is removed.

    Their results are removed; the next start of the workflow, or of genenet submit, runs them again.
    """
    from genenet.core.paths import ResultPaths
    from genenet.search.retry import check_statuses, find
    from genenet.search.retry import retry as run

    statuses = check_statuses(status)
    found = find(ResultPaths(results), statuses, names or ())
    for each in found:
        left = f"; not retried: {each.obstacle}" if each.obstacle else ""
        print(f"{each.name}: {each.status}: {each.reason}{left}")
    run(found)
    n = sum(not each.obstacle for each in found)
    if n:
        print(f"{n} will run again at the next start of the workflow, or of genenet submit")
    else:
        print(f"{results}: nothing to retry with status {', '.join(statuses)}")
