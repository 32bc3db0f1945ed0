"""Commands for rungs and rounds of a search."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from genenet.cli.commands import BY_HAND, Out, Settings, StopAfter, app
from genenet.core import exit_codes

Results = Annotated[Path, typer.Option(help="the results folder")]
RoundNumber = Annotated[int, typer.Option("--round", min=0, help="number of the round")]
Iterations = Annotated[int, typer.Option(min=1, help="iterations at the end of the rung")]


@app.command(rich_help_panel=BY_HAND)
def rung(
    results: Results,
    round_: RoundNumber,
    iterations: Iterations,
    slot: Annotated[int, typer.Option(min=0, help="number of the slot in the rung")],
    settings: Settings,
    after: Annotated[
        int | None,
        typer.Option(min=1, help="iterations at the end of the rung before; not for the first rung"),
    ] = None,
    stop_after_minutes: StopAfter = None,
) -> None:
    """Train the genome of a slot to the end of a rung; the same command continues after an interruption."""
    from genenet.cli.console import also_logged
    from genenet.cli.progress import show_training
    from genenet.core.attempts import exit_codes_by_ending
    from genenet.core.paths import ResultPaths, slot_name
    from genenet.core.resources import keep_freed_memory
    from genenet.ensembles.start import start_of
    from genenet.search.halving import run_of_slot, write_empty_slot, write_slot
    from genenet.search.parents import parent_of
    from genenet.training.run import TrainingRun
    from genenet.training.stopping import Stop

    keep_freed_memory()
    paths = ResultPaths(results)
    out = Path(paths.slot(round_, iterations, slot_name(slot)))
    with exit_codes_by_ending():
        name = run_of_slot(paths, round_, slot, after)
        if name is None:
            write_empty_slot(out)
            return
        genome, files = Path(paths.genome(name)), paths.run(name)
        train, validation = (Path(paths.data(split)) for split in ("train", "validation"))
        parent, start = partial(parent_of, paths, None), partial(start_of, paths, name)
        run = TrainingRun(
            genome, train, validation, settings, files, iterations, parent_of=parent, start_of=start
        )
        logged, stopping = also_logged(Path(paths.train_log(name))), Stop(stop_after_minutes)
        with logged, stopping.on_signals() as stop:
            finished = run.run(stop, show_training)
        if finished:
            write_slot(out, name, files, iterations, settings)
    if not finished:
        sys.exit(exit_codes.STOPPED)


@app.command(rich_help_panel=BY_HAND)
def rank(
    results: Results,
    round_: RoundNumber,
    iterations: Iterations,
    slots: Annotated[int, typer.Option(min=1, help="number of slots in the rung")],
) -> None:
    """Rank the genomes of a rung; the best of them continue in the next rung."""
    from genenet.core.paths import ResultPaths, slot_name
    from genenet.search.halving import rank as run

    paths = ResultPaths(results)
    files = [Path(paths.slot(round_, iterations, slot_name(i))) for i in range(slots)]
    run(files, Path(paths.rung(round_, iterations)))


@app.command(rich_help_panel=BY_HAND)
def gather(
    out: Out,
    results: Results,
    round_: RoundNumber,
    genomes: Annotated[int, typer.Option(min=1, help="number of genomes in the round")],
) -> None:
    """Write the outcomes of a round's trainings, from which later rounds are bred."""
    from genenet.config.rounds import run_name
    from genenet.core.paths import ResultPaths
    from genenet.search.halving import gather as run

    run(ResultPaths(results), [run_name(round_, i) for i in range(genomes)], out)
