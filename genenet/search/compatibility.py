"""Checks changes of the config of a search that has begun: a change must not repeat rounds that are done."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.config.planned_runs import INHERITING
from genenet.core.errors import InputError
from genenet.core.tolerant_read import names_in
from genenet.search.halving import read_round

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.rounds import Round
    from genenet.core.paths import ResultPaths


def check_additions(rounds: Sequence[Round], paths: ResultPaths) -> None:
    """Refuse a config that would redo rounds from which others were bred.

    Raises:
        InputError: If a round has other genomes or rungs than when later rounds were bred from it, or children that
            were trained inherited weights and now don't, or the other way round.
    """
    _check_inheritance(rounds, paths)
    for round_, next_ in pairwise(rounds):
        if not next_.is_bred or not Path(paths.genome(next_.runs[0])).exists():
            return
        gathered = Path(paths.round(round_.number))
        if not gathered.exists():
            continue
        n = len(read_round(gathered))
        if n != round_.n_genomes:
            _refuse(
                paths, f"n_genomes: round {round_.number} had {n} genomes, not {round_.n_genomes}", round_
            )
        folder = Path(paths.rung(round_.number, 0)).parent
        known = {int(name) for name in names_in(folder) if name.isdigit()}
        wanted = {rung.iterations for rung in round_.rungs}
        if known and wanted and known != wanted:
            text = ", ".join(map(str, sorted(known)))
            _refuse(paths, f"halving: round {round_.number} had rungs of {text} iterations", round_)


def _check_inheritance(rounds: Sequence[Round], paths: ResultPaths) -> None:
    bred = [each for each in rounds if each.is_bred]
    if not any(Path(paths.run(run).scores).exists() for each in bred for run in each.runs):
        return
    before = Path(paths.settings(f"train_{INHERITING}")).exists()
    if before != bred[0].inherits:
        done, asked = ("with", "without") if before else ("without", "with")
        raise InputError(
            f"search.evolution.inherit_weights: children have been trained {done} it, and would all be trained again "
            f"{asked} it; choose another results: folder than {paths.results}"
        )


def _refuse(paths: ResultPaths, what: str, round_: Round) -> None:
    raise InputError(
        f"search.{what}, when round {round_.number + 1} was bred from it; a change would redo all rounds after it. "
        f"Add rounds at the end, or genomes to the last one; or choose another results: folder than {paths.results}"
    )
