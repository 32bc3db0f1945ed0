"""The report's interactive plots and its table, by Bokeh, whose code is embedded: they need no network.

All are made for a light page; a dark one inverts them. Their grounds are transparent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import components
from bokeh.models import ColumnDataSource, FixedTicker, LinearColorMapper
from bokeh.models.widgets.tables import DataTable, HTMLTemplateFormatter, NumberFormatter, TableColumn
from bokeh.plotting import figure
from bokeh.resources import Resources

from genenet.report.score_axis import Focus

if TYPE_CHECKING:
    from bokeh.model import Model
    from bokeh.plotting import figure as Figure
    from numpy.typing import NDArray

    from genenet.ensembles.results import Run

INK, QUIET, GRID = "#24292f", "#6b7480", "#e1e5ea"
COLOURS = {"other": "#8b949e", "member": "#0b62c4", "baseline": "#c2510a"}
KINDS = {"other": "other networks", "member": "in the ensemble", "baseline": "baselines"}
DASHES = ("dashed", "dotted", "dotdash", "dashdot")
ROW, HEADER, MOST_ROWS = 30, 30, 16  # pixels of the table
SPARK = (90, 22)  # pixels of a learning curve in it


def code() -> str:
    """Return Bokeh's own code, as script elements."""
    resources = Resources(
        mode="inline", components=["bokeh", "bokeh-widgets", "bokeh-tables"], log_level="warn"
    )
    return str(resources.render_js())


def embed(models: Mapping[str, Model]) -> tuple[str, dict[str, str]]:
    """Return a script element, and for each model the element that shows it."""
    script, elements = components(dict(models), wrap_script=True)
    return script, elements


def ranking(runs: Sequence[Run]) -> DataTable:
    """Return the ranking as a table that is sorted by a click on a column's head."""
    columns: dict[str, tuple[str, int, Any, Callable[[Run], Any]]] = {
        "rank": ("Rank", 50, NumberFormatter(), lambda r: r.rank),
        "run": ("Run", 170, None, lambda r: r.run),
        "note": ("", 90, None, lambda r: {"member": "ensemble", "baseline": "baseline"}.get(r.kind, "")),
        "status": ("Status", 110, None, lambda r: r.status),
        "ari": ("ARI", 70, _number("0.000"), lambda r: or_nan(r.ari)),
        "iou": ("Mean IoU", 80, _number("0.000"), lambda r: or_nan(r.mean_iou)),
        "curve": ("Learning curve", SPARK[0] + 20, HTMLTemplateFormatter(template="<%= value %>"), _spark),
        "parameters": ("Parameters", 100, _number("0,0"), lambda r: or_nan(r.n_parameters)),
        "best": ("Best iteration", 105, _number("0,0"), lambda r: or_nan(r.best_iteration)),
        "seconds": ("Seconds", 80, _number("0,0"), lambda r: or_nan(r.seconds)),
        "jobs": ("Jobs", 55, _number("0"), lambda r: or_nan(r.cost.n_jobs)),
    }
    source = ColumnDataSource({name: [value(run) for run in runs] for name, (*_, value) in columns.items()})
    return DataTable(
        source=source,
        columns=[
            TableColumn(field=name, title=title, width=width, **({"formatter": form} if form else {}))
            for name, (title, width, form, _) in columns.items()
        ],
        index_position=None,
        autosize_mode="none",
        reorderable=False,
        row_height=ROW,
        width=sum(width for _, width, *_ in columns.values()) + 20,
        height=HEADER + ROW * min(len(runs), MOST_ROWS) + 5,
    )


def _number(pattern: str) -> NumberFormatter:
    return NumberFormatter(format=pattern, nan_format="–", text_align="right")


def or_nan(value: float | None) -> float:
    """Return a number, nan if there is none: what Bokeh leaves out."""
    return float("nan") if value is None else float(value)


def _spark(run: Run) -> str:
    """Draw a run's validation ARI from 0 to 1, as a line of SVG."""
    width, height = SPARK
    if len(run.history) < 2:
        return ""
    last = run.history[-1][0]
    points = " ".join(
        f"{width * i / last:.1f},{height - 2 - (height - 4) * min(max(ari, 0), 1):.1f}"
        for i, ari in run.history
    )
    return (
        f'<svg width="{width}" height="{height}" role="img"><title>validation ARI, 0 to 1</title>'
        f'<polyline points="{points}" fill="none" stroke="{COLOURS[run.kind]}" stroke-width="1.5"/></svg>'
    )


def axes(x: str, y: str, height: int = 320, tips: Sequence[tuple[str, str]] = (), **more: Any) -> Figure:
    """Return an empty plot in the report's style; ``tips`` are shown under the pointer."""
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        x_axis_label=x,
        y_axis_label=y,
        tools="pan,box_zoom,reset,save",
        tooltips=list(tips) or None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **more,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.grid.grid_line_color = GRID
    for axis in plot.axis:
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_line_color = axis.major_tick_line_color = QUIET
        axis.minor_tick_line_color = None
    return plot


def legend_below(plot: Figure) -> Figure:
    """Put a plot's legend below it; a click on it hides a line."""
    if plot.legend:
        legend = plot.legend[0]
        plot.add_layout(legend, "below")
        legend.orientation, legend.ncols, legend.spacing = "horizontal", 2, 12
        legend.background_fill_color = legend.border_line_color = None
        legend.label_text_color = INK
        legend.click_policy = "hide"
    return plot


def ensemble_curve(
    aris: Sequence[float | None], chosen: int, lines: Mapping[str, float | None]
) -> Figure | None:
    """Plot the ARI of the best-k ensembles, k from 1 on; None if no ARI is known.

    Args:
        aris: of the ensembles.
        chosen: size of the ensemble that was chosen.
        lines: ARI of single networks to compare with, by name; the first is the best random one.
    """
    points = [(size, ari) for size, ari in enumerate(aris, start=1) if ari is not None]
    if not points:
        return None
    plot = axes(
        "networks in the ensemble", "validation ARI", tips=[("networks", "@k"), ("ARI", "@ari{0.0000}")]
    )
    source = ColumnDataSource({"k": [k for k, _ in points], "ari": [ari for _, ari in points]})
    colour = COLOURS["member"]
    plot.line("k", "ari", source=source, color=colour, line_width=2, legend_label="best-k ensemble")
    plot.scatter("k", "ari", source=source, color=colour, size=7, legend_label="best-k ensemble")
    marked = [(k, ari) for k, ari in points if k == chosen]
    plot.scatter(
        [k for k, _ in marked], [ari for _, ari in marked], size=17, fill_color=None, line_color=colour,
        line_width=2, legend_label=f"chosen: {chosen}",
    )  # fmt: skip
    ends = [points[0][0] - 0.3, points[-1][0] + 0.3]
    for index, (name, ari) in enumerate(lines.items()):
        if ari is not None:
            kind = "baseline" if index else "other"
            plot.line(
                ends, [ari, ari], color=COLOURS[kind], line_dash=DASHES[index % len(DASHES)], line_width=1.5,
                legend_label=name,
            )  # fmt: skip
    plot.xaxis.ticker = FixedTicker(ticks=_whole_ticks(points[-1][0]))
    return legend_below(plot)


def _whole_ticks(last: int) -> list[int]:
    step = max(1, -(-last // 12))
    return list(range(1, last + 1, step))


def learning_curves(runs: Sequence[Run]) -> Figure | None:
    """Plot validation ARI against iteration, a line for each run; None without any validation."""
    known = [run for run in runs if run.history]
    if not known:
        return None
    focus = Focus.of(
        [min(ari for _, ari in run.history) for run in known], [a for r in known for _, a in r.history]
    )
    tips = [("run", "@run"), ("status", "@status")]
    plot = axes("iteration", "validation ARI", tips=tips, y_range=focus.range)
    for kind, title in KINDS.items():
        of_kind = [run for run in known if run.kind == kind]
        if of_kind:
            plot.multi_line(
                "xs",
                "ys",
                source=ColumnDataSource(
                    {
                        "xs": [[i for i, _ in run.history] for run in of_kind],
                        "ys": [[focus.height(ari) for _, ari in run.history] for run in of_kind],
                        "run": [run.run for run in of_kind],
                        "status": [run.status for run in of_kind],
                    }
                ),
                color=COLOURS[kind],
                line_width=1 if kind == "other" else 2,
                line_dash="dashed" if kind == "baseline" else "solid",
                legend_label=title,
            )
    return legend_below(plot)


def confusion(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Show which class voxels of each class were taken for, as shares of the true class."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows, columns = np.indices(counts.shape)
    plot = axes(
        "predicted", "true", 130 + 34 * len(names),
        [("true", "@row"), ("predicted", "@column"), ("share", "@share{0.0%}"), ("voxels", "@n{0,0}")],
        x_range=(-0.5, len(names) - 0.5), y_range=(len(names) - 0.5, -0.5),
    )  # fmt: skip
    source = ColumnDataSource(
        {
            "x": columns.ravel(),
            "y": rows.ravel(),
            "share": shares.ravel(),
            "n": counts.ravel(),
            "row": [names[i] for i in rows.ravel().tolist()],
            "column": [names[i] for i in columns.ravel().tolist()],
            "text": [f"{100 * share:.0f}" if share >= 0.005 else "" for share in shares.ravel()],
            "ink": ["#ffffff" if share > 0.5 else INK for share in shares.ravel()],
        }
    )
    mapper = LinearColorMapper(palette=_blues(), low=0, high=1)
    plot.rect("x", "y", 0.96, 0.94, source=source, color={"field": "share", "transform": mapper})
    plot.text(
        "x", "y", "text", source=source, text_align="center", text_baseline="middle", text_color="ink",
        text_font_size="12px",
    )  # fmt: skip
    for axis in plot.axis:
        axis.ticker = FixedTicker(ticks=list(range(len(names))))
        axis.major_label_overrides = dict(enumerate(names))
    plot.xaxis.major_label_orientation = 0.6
    plot.grid.grid_line_color = None
    return plot


def _blues() -> list[str]:
    low, high = np.array([0xEE, 0xF3, 0xFA]), np.array([0x0B, 0x4F, 0xA0])
    return [
        "#{:02x}{:02x}{:02x}".format(*np.rint(low + (high - low) * t).astype(int))
        for t in np.linspace(0, 1, 64)
    ]
