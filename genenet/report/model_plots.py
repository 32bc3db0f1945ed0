"""The report's plots of a surrogate model: predicted beside real scores, and which hyperparameters matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.models import ColumnDataSource, HoverTool

from genenet.report.plot_style import COLOURS, INK, KINDS, QUIET, axes, legend_below, or_nan, score_title
from genenet.search.predictions import predicted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.model import Model
    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure

    from genenet.search.importance import WhatMatters
    from genenet.training.outcomes import Outcome

MOST_BARS = 15
ROW = 24  # pixels of a bar


def plots_of_model(
    runs: Sequence[Outcome], importance: WhatMatters | None, metric: str
) -> dict[str, Model | None]:
    """Return the plots by the name under which the template shows them; None where there is nothing to draw."""
    return {
        "importance": importance_bars(importance, metric),
        "predicted": predicted_and_real(runs, metric),
    }


def predicted_and_real(runs: Sequence[Outcome], metric: str) -> Figure | None:
    """Plot real scores against those that the model predicted, with its deviations; None if it predicted none."""
    known = [run for run, _ in predicted(runs, metric)]
    if not known:
        return None
    title = score_title(metric)
    plot = axes(f"predicted {title}", f"validation {title}", 360)
    columns = {
        kind: _columns([run for run in known if run.kind == kind], metric) for kind in ("other", "member")
    }
    ends = [
        f(c[name]) for c in columns.values() for name in ("low", "high", "y") if c[name] for f in (min, max)
    ]
    ends = [min(ends), max(ends)]
    plot.line(ends, ends, color=INK, line_dash="dotted", legend_label="predicted exactly")
    dots: list[DataRenderer] = []
    for kind, each in columns.items():
        if each["x"]:
            source, colour = ColumnDataSource(each), COLOURS[kind]
            plot.segment("low", "y", "high", "y", source=source, color=colour, line_alpha=0.35, line_width=2)
            dots.append(plot.scatter("x", "y", source=source, size=8, color=colour, legend_label=KINDS[kind]))
    tips = [("run", "@run"), (f"predicted {title}", "@x{0.000} ± @deviation{0.000}"), (title, "@y{0.000}")]
    plot.add_tools(HoverTool(renderers=dots, tooltips=tips))
    return legend_below(plot)


def _columns(runs: Sequence[Outcome], metric: str) -> dict[str, list[Any]]:
    scores = [run.predicted for run in runs if run.predicted]
    return {
        "run": [run.run for run in runs],
        "x": [each.mean for each in scores],
        "y": [or_nan(run.score(metric)) for run in runs],
        "deviation": [each.deviation for each in scores],
        "low": [each.mean - each.deviation for each in scores],
        "high": [each.mean + each.deviation for each in scores],
    }


def importance_bars(found: WhatMatters | None, metric: str) -> Figure | None:
    """Draw a bar for each hyperparameter, the most important on top; None if nothing is known."""
    if found is None:
        return None
    shown = found.importances[:MOST_BARS]
    names = [each.of for each in shown]
    columns: dict[str, list[Any]] = {
        "of": names,
        "mean": [max(each.mean, 0.0) for each in shown],
        "low": [max(each.mean - each.deviation, 0.0) for each in shown],
        "high": [max(each.mean + each.deviation, 0.0) for each in shown],
    }
    tips = [("", "@of"), ("worse by", "@mean{0.0000}")]
    label = f"predictions worse by, in {score_title(metric)}"
    highest = 1.05 * max([*columns["high"], 1e-6])
    plot = axes(label, "", 80 + ROW * len(shown), tips, y_range=names[::-1], x_range=(0, highest))
    source = ColumnDataSource(columns)
    plot.hbar("of", right="mean", height=0.66, source=source, color=COLOURS["member"], fill_alpha=0.8)
    plot.segment("low", "of", "high", "of", source=source, color=QUIET, line_width=2)
    plot.ygrid.grid_line_color = None
    return plot
