"""What all interactive plots of the report share: colours, axes, legends, the axis of scores, and their code.

Bokeh's code is embedded in the page, so the plots need no network. They are drawn for a light page on a transparent
ground; the style sheet inverts them on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import components
from bokeh.plotting import figure
from bokeh.resources import Resources

from genenet.config.selection_metrics import SELECTION_METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.model import Model
    from bokeh.plotting import figure as Figure

INK, QUIET, GRID = "#24292f", "#6b7480", "#e1e5ea"
COLOURS = {"other": "#8b949e", "member": "#0b62c4", "baseline": "#c2510a"}
KINDS = {"other": "other networks", "member": "in the ensemble", "baseline": "baselines"}
FENCE = 3.0  # interquartile ranges below the first quartile: Tukey's outer fence
LEAST_SPREAD = 0.02  # in ARI: networks within this distance are never outliers of each other


def code() -> str:
    """Return Bokeh's own code, as script elements."""
    return str(Resources(mode="inline", components=["bokeh"], log_level="warn").render_js())


def embed(models: Mapping[str, Model]) -> tuple[str, dict[str, str]]:
    """Return a script element, and for each model the element that shows it."""
    script, elements = components(dict(models), wrap_script=True)
    return script, elements


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
    """Put the legend of a plot below it; a click on an entry hides its line."""
    if plot.legend:
        legend = plot.legend[0]
        plot.add_layout(legend, "below")
        legend.location, legend.orientation, legend.ncols, legend.spacing = "center", "horizontal", 2, 12
        legend.background_fill_color = legend.border_line_color = None
        legend.label_text_color = INK
        legend.click_policy = "hide"
    return plot


def score_title(metric: str) -> str:
    """Return how axes and tips call a score of SELECTION_METRICS."""
    return SELECTION_METRICS[metric].title


def or_nan(value: float | None) -> float:
    """Return a number, or nan if there is none: Bokeh leaves nan out."""
    return float("nan") if value is None else float(value)


@dataclass(frozen=True)
class ScoreAxis:
    """An axis of ARI whose lower edge collects outliers, so that these do not press all other networks together.

    ::

        range[1] ─┬─
                  │   o  o     drawn to scale
        lowest   ─┼─     o
        edge     ─┼─  ▽  ▽     outliers: all at this height, whatever their ARI
        range[0] ─┴─

    Attributes:
        range: first and last ARI of the axis.
        lowest: the lowest ARI that is drawn to scale.
    """

    range: tuple[float, float]
    lowest: float

    @classmethod
    def of(cls, aris: Sequence[float], shown: Sequence[float] = ()) -> ScoreAxis:
        """Return the axis for some scores.

        Args:
            aris: decide which scores are outliers (Tukey 1977, Exploratory data analysis, the outer fence).
            shown: other scores in the same plot; the axis reaches up to them.
        """
        q1, q3 = np.quantile(aris, [0.25, 0.75])
        lowest = min(ari for ari in aris if ari >= q1 - FENCE * max(q3 - q1, LEAST_SPREAD))
        highest = max([*aris, *shown])
        height = max(highest - lowest, LEAST_SPREAD)
        return cls((lowest - 0.14 * height, highest + 0.08 * height), lowest)

    def height(self, ari: float) -> float:
        """Return where an ARI is drawn."""
        edge = (2 * self.range[0] + self.lowest) / 3
        return max(ari, edge) if ari < self.lowest else ari
