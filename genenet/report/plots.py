"""The interactive plots of the report. A new plot is a function here, a line of `plots_of`, and a text in the template.

Plots with a dot for each network are in `network_plots`, matrices in `matrix_plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker

from genenet.config.selection_metrics import RANKING_METRIC, SELECTION_METRICS
from genenet.core.tolerant_read import as_number
from genenet.ensembles.description import read_strategies
from genenet.ensembles.ranking import rows
from genenet.report.matrix_plots import confusion, disagreement
from genenet.report.network_plots import family, speed
from genenet.report.plot_style import COLOURS, INK, KINDS, ScoreAxis, axes, legend_below, score_title
from genenet.report.priced import priced_ensembles
from genenet.report.provenance import devices

if TYPE_CHECKING:
    from bokeh.model import Model
    from bokeh.plotting import figure as Figure

    from genenet.core.paths import ResultPaths
    from genenet.ensembles.claims import Contender
    from genenet.ensembles.description import CalibrationEntry, EnsembleDescription
    from genenet.training.outcomes import Outcome

DASHES = ("dashed", "dotted", "dotdash", "dashdot")
UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def plots_of(
    paths: ResultPaths,
    ensemble: EnsembleDescription,
    runs: Sequence[Outcome],
    contenders: Sequence[Contender],
    calibration: CalibrationEntry | None,
) -> dict[str, Model | None]:
    """Return the plots by the name under which the template shows them; None where there is nothing to draw.

    Args:
        paths: of the search.
        ensemble: the chosen one.
        runs: all trainings, best first.
        contenders: the ensemble, the best network, and the baselines.
        calibration: of the ensemble's probabilities, on the test images if there are any.
    """
    metric, of_sizes = ensemble.metric, rows(Path(paths.curve))
    columns = {"ari": "validation_ari", "mean_iou": "mean_iou"}
    strategies = read_strategies(Path(paths.strategies))
    best_n = next(iter(strategies), None)  # anytime.csv is about best_n
    counts = ensemble.validation.confusion
    of_curve = [_score(row, columns, metric) for row in of_sizes]
    return {
        "curve": ensemble_curve(
            of_curve,
            len(ensemble.runs),
            {each.title: each.score for each in contenders[1:]},
            metric,
        ),
        "learning": learning_curves(runs, metric),
        "anytime": anytime(
            rows(Path(paths.anytime)), len(best_n.members) if best_n else 0, devices(runs), metric
        ),
        "speed": speed(
            runs,
            priced_ensembles(runs, [row["added"] for row in of_sizes], of_curve, strategies, metric),
            metric,
        ),
        "disagreement": disagreement(ensemble.pair_ambiguities or [], ensemble.runs),
        "family": family(runs, metric),
        "confusion": confusion(np.array(counts), ensemble.classes) if counts else None,
        "calibration": reliability(calibration) if calibration else None,
    }


def _score(row: Mapping[str, str], columns: Mapping[str, str], metric: str) -> float | None:
    """Return the score in a row of a CSV; ``columns`` names that of each metric."""
    scores = {name: as_number(row.get(column, "")) for name, column in columns.items()}
    return SELECTION_METRICS[metric].of_scores(scores)


def ensemble_curve(
    scores: Sequence[float | None],
    chosen: int,
    compared: Mapping[str, float | None],
    metric: str = RANKING_METRIC,
) -> Figure | None:
    """Plot the score of the best-k ensembles, k from 1 on; None if no score is known.

    Args:
        scores: of the ensembles.
        chosen: size of the chosen ensemble.
        compared: scores of single networks by title, drawn as lines; the best network of the search comes first.
        metric: of the scores.
    """
    points = [(size, score) for size, score in enumerate(scores, start=1) if score is not None]
    if not points:
        return None
    tips = [("networks", "@k"), (score_title(metric), "@ari{0.0000}")]
    plot = axes("networks in the ensemble", f"validation {score_title(metric)}", tips=tips)
    source = ColumnDataSource({"k": [k for k, _ in points], "ari": [ari for _, ari in points]})
    style: dict[str, Any] = {"color": COLOURS["member"], "legend_label": "best-k ensemble"}
    plot.line("k", "ari", source=source, line_width=2, **style)
    plot.scatter("k", "ari", source=source, size=7, **style)
    marked = [(k, ari) for k, ari in points if k == chosen]
    plot.scatter(
        [k for k, _ in marked], [ari for _, ari in marked], size=17, fill_color=None,
        line_color=COLOURS["member"], line_width=2, legend_label=f"chosen: {chosen}",
    )  # fmt: skip
    ends = [points[0][0] - 0.3, points[-1][0] + 0.3]
    for index, (name, ari) in enumerate(compared.items()):
        if ari is not None:
            plot.line(
                ends, [ari, ari], color=COLOURS["baseline" if index else "other"],
                line_dash=DASHES[index % len(DASHES)], line_width=1.5, legend_label=name,
            )  # fmt: skip
    step = max(1, -(-len(scores) // 12))
    plot.xaxis.ticker = FixedTicker(ticks=list(range(1, points[-1][0] + 1, step)))
    return legend_below(plot)


def learning_curves(runs: Sequence[Outcome], metric: str = RANKING_METRIC) -> Figure | None:
    """Plot validation scores against iteration, a line for each run; None without any validation."""
    histories = {run.run: run.history(metric) for run in runs}
    known = [run for run in runs if histories[run.run]]
    if not known:
        return None
    lowest = [min(score for _, score in histories[run.run]) for run in known]
    axis = ScoreAxis.of(lowest, [score for run in known for _, score in histories[run.run]])
    tips = [("run", "@run"), ("status", "@status")]
    plot = axes("iteration", f"validation {score_title(metric)}", tips=tips, y_range=axis.range)
    for kind, title in KINDS.items():
        of_kind = [run for run in known if run.kind == kind]
        columns = {
            "xs": [[i for i, _ in histories[run.run]] for run in of_kind],
            "ys": [[axis.height(score) for _, score in histories[run.run]] for run in of_kind],
            "run": [run.run for run in of_kind],
            "status": [run.status for run in of_kind],
        }
        if of_kind:
            plot.multi_line(
                "xs", "ys", source=ColumnDataSource(columns), color=COLOURS[kind],
                line_width=1 if kind == "other" else 2,
                line_dash="dashed" if kind == "baseline" else "solid", legend_label=title,
            )  # fmt: skip
    return legend_below(plot)


def anytime(
    rows: Sequence[Mapping[str, str]], size: int, device: str = "", metric: str = RANKING_METRIC
) -> Figure | None:
    """Plot scores of ensemble and best network against the jobs' time so far; None with fewer than two trainings.

    Args:
        rows: rows of anytime.csv.
        size: number of members of the ensemble.
        device: names of the devices that the trainings ran on.
        metric: of the scores.
    """
    if len(rows) < 2:
        return None
    spent = [float(row["job_seconds"]) for row in rows]
    unit, seconds = next((u for u in UNITS if spent[-1] >= 2 * u[1]), UNITS[-1])
    tips = [("trained", "@n"), ("last", "@run"), (unit, "@x{0.0}"), ("ensemble", "@ensemble{0.000}")]
    tips += [("best network", "@best{0.000}"), ("iterations", "@iterations{0,0}")]
    where = f" on {device}" if device else ""
    plot = axes(f"{unit} of training jobs so far{where}", f"validation {score_title(metric)}", tips=tips)
    columns = {of: {"ari": f"{of}_ari", "mean_iou": f"{of}_mean_iou"} for of in ("best", "ensemble")}
    source = ColumnDataSource(
        {
            "x": [s / seconds for s in spent],
            "n": [int(row["n_trained"]) for row in rows],
            "run": [row["run"] for row in rows],
            "iterations": [int(row["iterations"]) for row in rows],
            **{of: [_score(row, named, metric) for row in rows] for of, named in columns.items()},
        }
    )
    ensemble = f"ensemble of the best {size}" if size > 1 else "ensemble of one"
    for name, kind, title in (("ensemble", "member", ensemble), ("best", "other", "best network")):
        style: dict[str, Any] = {"source": source, "color": COLOURS[kind], "legend_label": title}
        plot.step("x", name, mode="after", line_width=2, **style)
        plot.scatter("x", name, size=5, **style)
    return legend_below(plot)


def reliability(calibration: CalibrationEntry) -> Figure | None:
    """Plot the share of correct voxels against confidence, without and with the temperature; None without voxels.

    On the diagonal, probabilities are error rates.
    """
    tips = [("confidence", "@confidence{0.000}"), ("correct", "@correct{0.000}"), ("voxels", "@voxels{0,0}")]
    plot = axes("probability of the most probable class", "share of correct voxels", tips=tips)
    plot.line([0, 1], [0, 1], color=INK, line_dash="dotted", legend_label="calibrated")
    for scores, title, kind in (
        (calibration.before, "as predicted", "other"),
        (calibration.after, f"with temperature {calibration.temperature:.2f}", "member"),
    ):
        if not scores.voxels:
            return None
        source = ColumnDataSource(
            {name: getattr(scores, name) for name in ("confidence", "correct", "voxels")}
        )
        style: dict[str, Any] = {"source": source, "color": COLOURS[kind], "legend_label": title}
        plot.line("confidence", "correct", line_width=2, **style)
        plot.scatter("confidence", "correct", size=7, **style)
    return legend_below(plot)
