"""Which trainings share a job (``training.per_job``): genomes of a round, or slots of a rung, of consecutive numbers.

The results of a training are made in its own folder, as without packs. What the workflow declares as the output of a
pack's job is a receipt, since Snakemake deletes declared outputs before it runs a job again: so the members that are
finished survive when their pack is run again, for another member or with other members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.config.planned_runs import ends_of_round, folds, of_folds, search_rounds
from genenet.core.paths import span_name

if TYPE_CHECKING:
    from genenet.config.model import Config
    from genenet.config.rounds import Round
    from genenet.core.paths import ResultPaths


def spans(n: int, per_job: int) -> list[str]:
    """Return the spans of ``n`` trainings, ``per_job`` in each but the last: ``000-007``, ``008-009``."""
    return [span_name(first, min(first + per_job, n) - 1) for first in range(0, n, per_job)]


def span_of(index: int, n: int, per_job: int) -> str:
    """Return the span that a training is in."""
    return spans(n, per_job)[index // per_job]


def ends_of_trainings(config: Config, round_: Round, paths: ResultPaths) -> list[str]:
    """Return the files that are there when a round's trainings have ended."""
    per_job = config.training.per_job
    if per_job == 1 or (folds(config) and not round_.rungs):
        return ends_of_round(round_, paths)
    if not round_.rungs:
        return [paths.pack(round_.number, span) for span in spans(round_.n_genomes, per_job)]
    last = round_.rungs[-1]
    return [paths.rung_pack(round_.number, last.iterations, span) for span in spans(last.n_slots, per_job)]


def ends_of_folds(config: Config, rounds: list[Round], run: str, paths: ResultPaths) -> list[str]:
    """Return the files that are there when the trainings of all folds of a run have ended."""
    round_ = next((each for each in rounds if run in each.runs), None)
    if config.training.per_job == 1 or round_ is None:
        return [path for training in of_folds(config, run) for path in paths.run(training).outputs()]
    span = span_of(round_.runs.index(run), round_.n_genomes, config.training.per_job)
    return [paths.pack(round_.number, span, fold) for fold in folds(config)]


def packs_text(config: Config) -> str:
    """Return a line about the jobs of a search whose genomes are trained in packs; an empty one without packs."""
    per_job, planned = config.training.per_job, search_rounds(config)
    if per_job == 1:
        return ""
    n = sum(rung.n_slots for each in planned for rung in each.rungs) or sum(
        each.n_genomes for each in planned
    )
    n *= len(folds(config)) or 1
    return (
        f"jobs: {n_jobs(config, planned)} for {n} trainings of genomes, {per_job} in each (training.per_job)"
    )


def n_jobs(config: Config, rounds: list[Round]) -> int:
    """Return the number of jobs that train the genomes of a search; each step of its rungs counts."""
    per_job = config.training.per_job
    steps = [[rung.n_slots for rung in each.rungs] or [each.n_genomes] for each in rounds]
    return (len(folds(config)) or 1) * sum(len(spans(n, per_job)) for step in steps for n in step)
