"""The report's plots of networks by score: against what they were drawn with, and who descends from whom.

Those far below the others stand at the lower edge, as triangles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    NumeralTickFormatter,
)
from bokeh.models.annotations import Span

from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.report.plots import COLOURS, KINDS, QUIET, axes, legend_below, or_nan
from genenet.report.score_axis import Focus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure

    from genenet.ensembles.results import Run
    from genenet.genes.hyperparameters import Hyperparameter

BELOW = "inverted_triangle"  # the marker of a network far below the others
SPREAD = 0.6  # width of a round along the axis
LOG_MANTISSAS = ((1,), (1, 3), (1, 2, 5))


def n_below(runs: Sequence[Run]) -> int:
    """Return how many networks stand at the lower edge."""
    known = _networks(runs)
    return _dots(known, _focus(known))["marker"].count(BELOW) if known else 0


def _networks(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.kind != "baseline" and run.ari is not None]


def _focus(runs: Sequence[Run], shown: Sequence[float] = ()) -> Focus:
    return Focus.of([or_nan(run.ari) for run in runs], shown)


def _dots(runs: Sequence[Run], focus: Focus) -> dict[str, Any]:
    """Return height, marker and ARI of each network's dot."""
    aris = [or_nan(run.ari) for run in runs]
    return {
        "y": [focus.height(ari) for ari in aris],
        "marker": [BELOW if ari < focus.lowest else "circle" for ari in aris],
        "ari": aris,
    }


def hyperparameters(runs: Sequence[Run], ensemble_ari: float | None) -> dict[str, Figure]:
    """Plot the scores of networks against each value at the root that differs among them, by its name.

    The number of parameters comes first; a line shows the ensemble. Nothing if no network has a score.
    """
    known = _networks(runs)
    if not known:
        return {}
    names = [name for name in HYPERPARAMETERS if len({run.values.get(name) for run in known}) > 1]
    sizes = [run.n_parameters or 1 for run in known]
    focus = _focus(known, [] if ensemble_ari is None else [ensemble_ari])
    plots = {"parameters": _against("parameters", sizes, known, focus, x_axis_type="log")}
    plots["parameters"].xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
    plots["parameters"].xaxis.ticker = FixedTicker(ticks=log_ticks(min(sizes), max(sizes)))
    plots |= {name: _against(name, [run.values.get(name) for run in known], known, focus) for name in names}
    if ensemble_ari is not None:
        for plot in plots.values():
            plot.add_layout(Span(location=ensemble_ari, line_color=COLOURS["member"], line_width=1))
    return plots


def _against(name: str, values: Sequence[Any], runs: Sequence[Run], focus: Focus, **more: Any) -> Figure:
    tips = [("run", "@run"), (name, "@x{0.[0000]}"), ("ARI", "@ari{0.000}")]
    plot = axes(name, "", 210, tips, y_range=focus.range, **more)
    source = ColumnDataSource(
        {
            **_dots(runs, focus),
            "x": [or_nan(value) for value in values],
            "run": [run.run for run in runs],
            "colour": [COLOURS[run.kind] for run in runs],
        }
    )
    plot.scatter(
        "x",
        "y",
        source=source,
        marker="marker",
        size=7,
        fill_color="colour",
        line_color="colour",
        fill_alpha=0.5,
    )
    if name in HYPERPARAMETERS:
        _mark(plot, HYPERPARAMETERS[name])
    return plot


def _mark(plot: Figure, h: Hyperparameter) -> None:
    """Mark what can be drawn: integers, or choices by their words."""
    if h.choices:
        plot.xaxis.ticker = FixedTicker(ticks=list(range(len(h.choices))))
        plot.xaxis.major_label_overrides = {i: h.word(i) for i in range(len(h.choices))}
    elif not h.is_float:
        plot.xaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=5)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers on a logarithmic axis: from two to a handful, as far as there are any."""
    decades = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    for mantissas in LOG_MANTISSAS:
        ticks = [m * 10.0**d for d in decades for m in mantissas if low <= m * 10.0**d <= high]
        if len(ticks) >= 2:
            break
    return ticks or [low]


def family(runs: Sequence[Run]) -> Figure | None:
    """Plot the ARI of bred genomes by round, with lines from their parents; None if none were bred."""
    known = _networks(runs)
    if not any(run.parents for run in known):
        return None
    by_id = {run.genome: run for run in reversed(known)}  # of equal genomes the best
    focus = _focus(known)
    places = {run.run: (_place(run.run, known), focus.height(or_nan(run.ari))) for run in known}
    pairs = [(by_id[p], child) for child in known for p in child.parents if p in by_id]
    tips = [("run", "@run"), ("ARI", "@ari{0.000}"), ("parents", "@parents")]
    plot = axes("round", "validation ARI", 360, y_range=focus.range)
    plot.multi_line(
        [[places[a.run][0], places[b.run][0]] for a, b in pairs],
        [[places[a.run][1], places[b.run][1]] for a, b in pairs],
        color=QUIET, line_width=1, line_alpha=0.5, legend_label="parent to child",
    )  # fmt: skip
    dots: list[DataRenderer] = []
    for kind in ("other", "member"):
        of_kind = [run for run in known if run.kind == kind]
        source = ColumnDataSource(
            {
                **_dots(of_kind, focus),
                "x": [places[run.run][0] for run in of_kind],
                "run": [run.run for run in of_kind],
                "parents": [_called(run, by_id) for run in of_kind],
            }
        )
        if of_kind:
            dots.append(
                plot.scatter(
                    "x",
                    "y",
                    source=source,
                    marker="marker",
                    color=COLOURS[kind],
                    size=8,
                    legend_label=KINDS[kind],
                )
            )
    plot.add_tools(HoverTool(renderers=dots, tooltips=list(tips)))
    plot.xaxis.ticker = FixedTicker(ticks=sorted({_round(run.run) for run in known}))
    plot.xgrid.grid_line_color = None
    return legend_below(plot)


def _round(run: str) -> int:
    return int(run.partition("/")[0][1:])


def _place(run: str, known: Sequence[Run]) -> float:
    """Return where a genome stands along the rounds: its place in its own spreads it."""
    number = _round(run)
    beside = sorted(each.run for each in known if _round(each.run) == number)
    return number + SPREAD * ((beside.index(run) + 0.5) / len(beside) - 0.5)


def _called(run: Run, by_id: Mapping[str, Run]) -> str:
    return ", ".join(by_id[p].run if p in by_id else p for p in run.parents) or "drawn"
