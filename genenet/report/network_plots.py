"""The report's plots with a dot for each network: its score against a hyperparameter, its round, or its speed.

Networks far below the others are drawn at the lower edge, as triangles (see `ScoreAxis`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, FixedTicker, HoverTool, NumeralTickFormatter
from bokeh.models.annotations import Span

from genenet.config.selection_metrics import RANKING_METRIC
from genenet.core.choices import many
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.report.plot_style import (
    COLOURS,
    KINDS,
    QUIET,
    ScoreAxis,
    axes,
    legend_below,
    or_nan,
    score_title,
)

if TYPE_CHECKING:
    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure

    from genenet.genes.hyperparameters import Hyperparameter
    from genenet.report.priced import PricedEnsemble
    from genenet.training.outcomes import Outcome

BELOW = "inverted_triangle"  # marker of an outlier
ROUND_WIDTH = 0.6  # share of the distance between rounds over which the networks of one round are spread
LOG_MANTISSAS = ((1,), (1, 3), (1, 2, 5))


def n_below(runs: Sequence[Outcome], metric: str = RANKING_METRIC) -> int:
    """Return how many networks are drawn as outliers at the lower edge."""
    known = _networks(runs, metric)
    return _dots(known, _score_axis(known, metric), metric)["marker"].count(BELOW) if known else 0


def _networks(runs: Sequence[Outcome], metric: str) -> list[Outcome]:
    return [run for run in runs if run.kind != "baseline" and run.score(metric) is not None]


def _score_axis(runs: Sequence[Outcome], metric: str, shown: Sequence[float] = ()) -> ScoreAxis:
    return ScoreAxis.of([or_nan(run.score(metric)) for run in runs], shown)


def _dots(runs: Sequence[Outcome], axis: ScoreAxis, metric: str) -> dict[str, Any]:
    """Return height, marker, score and name of the dot of each network."""
    scores = [or_nan(run.score(metric)) for run in runs]
    return {
        "y": [axis.height(score) for score in scores],
        "marker": [BELOW if score < axis.lowest else "circle" for score in scores],
        "ari": scores,
        "run": [run.run for run in runs],
    }


def hyperparameters(
    runs: Sequence[Outcome], of_ensemble: float | None, metric: str = RANKING_METRIC
) -> dict[str, Figure]:
    """Plot the scores of the networks against each root value that differs among them, by its name.

    The number of parameters comes first; a line shows the ensemble. The result is empty if no network has a score.
    """
    known = _networks(runs, metric)
    if not known:
        return {}
    axis = _score_axis(known, metric, [] if of_ensemble is None else [of_ensemble])
    sizes = [run.n_parameters or 1 for run in known]
    first = _against("parameters", sizes, known, axis, metric, x_axis_type="log")
    first.xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
    first.xaxis.ticker = FixedTicker(ticks=log_ticks(min(sizes), max(sizes)))
    plots = {"parameters": first}
    for name, hyperparameter in HYPERPARAMETERS.items():
        values = [run.values.get(name) for run in known]
        if len(set(values)) > 1:
            plots[name] = _against(name, values, known, axis, metric)
            _mark_values(plots[name], hyperparameter)
    if of_ensemble is not None:
        for plot in plots.values():
            plot.add_layout(Span(location=of_ensemble, line_color=COLOURS["member"], line_width=1))
    return plots


def _against(
    name: str, values: Sequence[Any], runs: Sequence[Outcome], axis: ScoreAxis, metric: str, **more: Any
) -> Figure:
    tips = [("run", "@run"), (name, "@x{0.[0000]}"), (score_title(metric), "@ari{0.000}")]
    plot = axes(name, "", 210, tips, y_range=axis.range, **more)
    colours = [COLOURS[run.kind] for run in runs]
    columns = {**_dots(runs, axis, metric), "x": [or_nan(value) for value in values], "colour": colours}
    plot.scatter(
        "x", "y", source=ColumnDataSource(columns), marker="marker", size=7, fill_color="colour",
        line_color="colour", fill_alpha=0.5,
    )  # fmt: skip
    return plot


def _mark_values(plot: Figure, h: Hyperparameter) -> None:
    """Put the ticks at values that can be drawn: at integers, or at choices with their names."""
    if h.choices:
        plot.xaxis.ticker = FixedTicker(ticks=list(range(len(h.choices))))
        plot.xaxis.major_label_overrides = {i: h.word(i) for i in range(len(h.choices))}
    elif not h.is_float:
        plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=5)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a logarithmic axis: at least two and only a few, as far as there are any."""
    decades = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    for mantissas in LOG_MANTISSAS:
        ticks = [m * 10.0**d for d in decades for m in mantissas if low <= m * 10.0**d <= high]
        if len(ticks) >= 2:
            break
    return ticks or [low]


def speed(
    runs: Sequence[Outcome], ensembles: Sequence[PricedEnsemble], metric: str = RANKING_METRIC
) -> Figure | None:
    """Plot the scores of networks and ensembles against their time for a million voxels; None if no time is known."""
    known = [run for run in runs if run.score(metric) is not None and run.seconds_per_megavoxel]
    if not known:
        return None
    shown = [each.score for each in ensembles] + [or_nan(run.score(metric)) for run in known]
    axis = _score_axis(_networks(runs, metric) or known, metric, shown)
    title = score_title(metric)
    plot = axes(
        "seconds for a million voxels", f"validation {title}", 360, x_axis_type="log", y_range=axis.range
    )
    dots: list[DataRenderer] = []
    for kind, name in KINDS.items():
        of_kind = [run for run in known if run.kind == kind]
        columns = {**_dots(of_kind, axis, metric), "x": [run.seconds_per_megavoxel for run in of_kind]}
        style: dict[str, Any] = {"color": COLOURS[kind], "size": 8, "legend_label": name}
        if of_kind:
            dots.append(plot.scatter("x", "y", source=ColumnDataSource(columns), marker="marker", **style))
    dots += _ensemble_dots(plot, ensembles)
    tips = [("", "@run"), (title, "@ari{0.000}"), ("seconds for a million voxels", "@x{0.000}")]
    plot.add_tools(HoverTool(renderers=dots, tooltips=tips))
    times = [run.seconds_per_megavoxel or 1 for run in known] + [each.seconds for each in ensembles]
    plot.xaxis.ticker = FixedTicker(ticks=log_ticks(min(times), max(times)))
    plot.xaxis.formatter = NumeralTickFormatter(format="0.[000]")
    return legend_below(plot)


def _ensemble_dots(plot: Figure, ensembles: Sequence[PricedEnsemble]) -> list[DataRenderer]:
    """Draw the best-k ensembles as a line of diamonds, and those of the strategies as squares."""
    found: list[DataRenderer] = []
    for is_best_k, name, marker in ((True, "best-k ensembles", "diamond"), (False, "strategies", "square")):
        some = [each for each in ensembles if each.is_best_k is is_best_k]
        source = ColumnDataSource(
            {
                "x": [each.seconds for each in some],
                "y": [each.score for each in some],
                "ari": [each.score for each in some],
                "run": [f"{each.title}: {many(each.size, 'network')}" for each in some],
            }
        )
        style: dict[str, Any] = {"source": source, "color": COLOURS["member"], "legend_label": name}
        if is_best_k and some:
            plot.line("x", "y", line_width=1, **style)
        if some:
            found.append(plot.scatter("x", "y", marker=marker, size=10, fill_color=None, **style))
    return found


def family(runs: Sequence[Outcome], metric: str = RANKING_METRIC) -> Figure | None:
    """Plot the score of genomes by round, with lines from parents to children; None if no genome has parents."""
    known = _networks(runs, metric)
    if not any(run.parents for run in known):
        return None
    by_id = {run.genome: run for run in reversed(known)}  # of equal genomes the best
    axis = _score_axis(known, metric)
    places = {run.run: (_place(run.run, known), axis.height(or_nan(run.score(metric)))) for run in known}
    pairs = [(places[by_id[p].run], places[run.run]) for run in known for p in run.parents if p in by_id]
    plot = axes("round", f"validation {score_title(metric)}", 360, y_range=axis.range)
    plot.multi_line(
        [[parent[0], child[0]] for parent, child in pairs], [[parent[1], child[1]] for parent, child in pairs],
        color=QUIET, line_width=1, line_alpha=0.5, legend_label="parent to child",
    )  # fmt: skip
    dots: list[DataRenderer] = []
    for kind in ("other", "member"):
        of_kind = [run for run in known if run.kind == kind]
        x, parents = [places[run.run][0] for run in of_kind], [_parents(run, by_id) for run in of_kind]
        source = ColumnDataSource({**_dots(of_kind, axis, metric), "x": x, "parents": parents})
        style: dict[str, Any] = {"color": COLOURS[kind], "size": 8, "legend_label": KINDS[kind]}
        if of_kind:
            dots.append(plot.scatter("x", "y", source=source, marker="marker", **style))
    tips = [("run", "@run"), (score_title(metric), "@ari{0.000}"), ("parents", "@parents")]
    plot.add_tools(HoverTool(renderers=dots, tooltips=tips))
    plot.xaxis.ticker = FixedTicker(ticks=sorted({_round(run.run) for run in known}))
    plot.xgrid.grid_line_color = None
    return legend_below(plot)


def _round(run: str) -> int:
    return int(run.partition("/")[0][1:])


def _place(run: str, known: Sequence[Outcome]) -> float:
    """Return the x of a genome: its round, and beside the others of that round in the order of their names."""
    number = _round(run)
    beside = sorted(each.run for each in known if _round(each.run) == number)
    return number + ROUND_WIDTH * ((beside.index(run) + 0.5) / len(beside) - 0.5)


def _parents(run: Outcome, by_id: Mapping[str, Outcome]) -> str:
    return ", ".join(by_id[p].run if p in by_id else p for p in run.parents) or "none: drawn at random"
