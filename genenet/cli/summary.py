"""The summary of a finished search in the terminal: the ranking, and the paths of the results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from genenet.core.atomic_files import optional_json, read_csv
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths
from genenet.ensembles.claims import refit_gain
from genenet.ensembles.comparison import comparison
from genenet.ensembles.controls import ControlFile, read_controls
from genenet.ensembles.description import EnsembleDescription, read_description
from genenet.ensembles.ranking import read_runs
from genenet.ensembles.standings import standings
from genenet.ensembles.tested import read_test_scores
from genenet.search.retry import advice
from genenet.training.outcome_reader import read_outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.ensembles.tested import ScoresOnTestImages

SHOWN = 15  # rows of the ranking


def print_summary(results: Path) -> None:
    """Print it to standard output; raises InputError if there is no ranking yet."""
    paths = ResultPaths(results)
    if not Path(paths.ranking).exists():
        raise InputError(f"{paths.ranking}: no ranking yet; run snakemake --profile profiles/local first")
    rows = read_csv(Path(paths.ranking))
    ensemble = read_description(Path(paths.ensemble) / "ensemble.json")
    members = set(ensemble.runs)
    table = Table("rank", "run", "ARI", "mean IoU", "parameters", "seconds", "", box=None)
    for row in rows[:SHOWN]:
        note = "in the ensemble" if row["run"] in members else ""
        note = "baseline" if row["run"].startswith("baselines/") else note
        cells = (
            _number(row["validation_ari"], 3),
            _number(row["mean_iou"], 3),
            f"{int(row['n_parameters']):,}" if row["n_parameters"] else "-",
        )
        status = note if row["status"] == "ok" else row["status"]
        table.add_row(row["rank"], row["run"], *cells, _number(row["seconds"], 0), status)
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"… and {len(rows) - SHOWN} more in {paths.ranking}")
    controls = read_controls(paths, (optional_json(paths.settings("report")) or {}).get("controls", ()))
    for line in _failures(rows, controls, paths):
        console.print(line, soft_wrap=True, highlight=False)
    for name, share in ensemble.untrained_classes.items():
        line = f"class {name} has no voxel in the training labels: networks can't learn it"
        console.print(f"{line} ({share:.1%} of the validation voxels)", soft_wrap=True, highlight=False)
    test = read_test_scores(Path(paths.test_scores))
    runs = read_runs(paths, members)
    compared = comparison(ensemble, test, runs, controls)
    for line in [compared.verdict, *compared.reservations] if compared else ():
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    stands = [line for each in standings(ensemble, test, runs, controls) for line in each.lines]
    console.print(_answer(ensemble, test, stands, paths), soft_wrap=True, highlight=False, markup=False)


def _number(text: str, digits: int) -> str:
    return f"{float(text):.{digits}f}" if text else "-"


def _failures(rows: list[dict[str, str]], controls: Sequence[ControlFile], paths: ResultPaths) -> list[str]:
    failed = [(row["run"], row["status"], row["reason"]) for row in rows if row["status"] != "ok"]
    own = [each for control in controls for each in control.trainings if each.run in control.own_runs]
    failed += [(each.run, each.status, each.reason) for each in own if not each.is_ok]
    lines = [f"{run} {status}: {reason}\n  log: {paths.train_log(run)}" for run, status, reason in failed]
    return ["", *lines, advice(paths)] if failed else []


def _refit(ensemble: EnsembleDescription, test: ScoresOnTestImages | None, paths: ResultPaths) -> list[str]:
    """Return lines that say which members were trained anew on all labelled images."""
    done = ensemble.refit
    if not done:
        return []
    n, all_ = len(done.refitted), len(ensemble.runs)
    lines = [
        f"refit         {n} of {all_} members trained anew on all labelled images; the scores are from before"
    ]
    gain = refit_gain(ensemble, test)
    lines += [f"  {gain}"] if gain else []
    lines += [f"  {run} keeps its former weights: {reason}" for run, reason in done.failed.items()]
    return lines + [advice(paths)] * bool(done.failed)


def _answer(
    ensemble: EnsembleDescription, test: ScoresOnTestImages | None, stands: Sequence[str], paths: ResultPaths
) -> str:
    scores, first = ensemble.validation, ensemble.members[0]
    single = read_outcome(paths, ensemble.runs[0]).ari if ensemble.n_folds else first.validation_ari
    aris = {"best single": single, **ensemble.baselines}
    beside = [f"{name} {'no ARI' if ari is None else f'{ari:.3f}'}" for name, ari in aris.items()]
    ari, iou = ("-" if value is None else f"{value:.3f}" for value in (scores.ari, scores.mean_iou))
    lines = [
        f"\nensemble of {ensemble.size_text}: validation ARI {ari} ({', '.join(beside)}), mean IoU {iou}"
    ]
    lines += [*stands, *_refit(ensemble, test, paths)]
    not_found = scores.not_found(ensemble.classes)
    lines += [f"on the validation images, {not_found}"] if not_found else []
    lines += [f"report        {paths.report}"] if Path(paths.report).exists() else []
    folder = Path(paths.store("x")).parent
    lines += [f"segmentation  {path}" for path in sorted([*folder.glob("*.tif"), *folder.glob("*.ome.zarr")])]
    lines += [f"objects       {path}" for path in sorted(folder.glob("*.objects.csv"))]
    return "\n".join(lines)
