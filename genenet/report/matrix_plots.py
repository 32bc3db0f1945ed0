"""The report's matrices: which classes are confused, and how much the members of the ensemble disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, LinearColorMapper
from bokeh.palettes import Blues256

from genenet.report.plot_style import INK, axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.plotting import figure as Figure
    from numpy.typing import NDArray

MOST_WITH_NUMBERS = 12  # rows of a matrix whose cells are wide enough for "0.012"


def confusion(counts: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Show which classes the voxels of each true class were given, as shares of the true class.

    Args:
        counts: voxels by true class (row) and class found (column), (C, C).
        names: names of the C classes.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = [f"{100 * share:.0f}" if share >= 0.005 else "" for share in shares.ravel()]
    tips = [("true", "@row"), ("predicted", "@column"), ("share", "@value{0.0%}"), ("voxels", "@n{0,0}")]
    return _matrix(shares, names, texts, ("predicted", "true"), tips, {"n": counts.ravel()})


def disagreement(ambiguities: Sequence[Sequence[float]], runs: Sequence[str]) -> Figure | None:
    """Show the ambiguity of each pair of members; None if there are fewer than two.

    Args:
        ambiguities: of the pairs, (K, K).
        runs: the K members.
    """
    if len(ambiguities) < 2:
        return None
    values = np.asarray(ambiguities)
    is_pair = ~np.eye(len(values), dtype=bool).ravel()
    has_numbers = len(values) <= MOST_WITH_NUMBERS
    texts = [
        f"{value:.3f}" if pair and has_numbers else ""
        for value, pair in zip(values.ravel(), is_pair, strict=True)
    ]
    tips = [("members", "@row, @column"), ("ambiguity", "@value{0.0000}")]
    return _matrix(values, runs, texts, ("", ""), tips, {}, high=float(values.max()) or 1.0)


def _matrix(
    values: NDArray[np.float64],
    names: Sequence[str],
    texts: Sequence[str],
    titles: tuple[str, str],
    tips: Sequence[tuple[str, str]],
    more: Mapping[str, NDArray[np.int64]],
    high: float = 1.0,
) -> Figure:
    """Draw a square matrix (K, K), the first row at the top, with a text in each cell.

    Args:
        values: that decide the colours; ``high`` is the darkest.
        names: of the K rows and columns.
        texts: of the cells, row by row.
        titles: of the columns and of the rows.
        tips: shown under the pointer.
        more: other columns for the tips, row by row.
        high: a value.
    """
    rows, columns = np.indices(values.shape)
    last = len(names) - 0.5
    plot = axes(*titles, 130 + 34 * len(names), tips, x_range=(-0.5, last), y_range=(last, -0.5))
    source = ColumnDataSource(
        {
            "x": columns.ravel(),
            "y": rows.ravel(),
            "value": values.ravel(),
            "row": [names[i] for i in rows.ravel().tolist()],
            "column": [names[i] for i in columns.ravel().tolist()],
            "text": list(texts),
            "ink": ["#ffffff" if value > high / 2 else INK for value in values.ravel()],
            **more,
        }
    )
    mapper = LinearColorMapper(palette=Blues256[::-1], low=0, high=high)
    plot.rect("x", "y", 0.96, 0.94, source=source, color={"field": "value", "transform": mapper})
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
