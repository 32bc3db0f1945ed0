"""The report's plot of how a search went: what it was worth at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.models import ColumnDataSource

from genenet.ensembles.results import as_float
from genenet.report.plots import COLOURS, axes, legend_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.plotting import figure as Figure

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def anytime(rows: Sequence[Mapping[str, str]], size: int, device: str = "") -> Figure | None:
    """Plot ARI of ensemble and best network against the jobs' time so far; None with fewer than two trainings.

    Args:
        rows: of anytime.csv.
        size: members of the ensemble.
        device: that was trained on, by name.
    """
    if len(rows) < 2:
        return None
    spent = [float(row["job_seconds"]) for row in rows]
    unit, seconds = next((u for u in UNITS if spent[-1] >= 2 * u[1]), UNITS[-1])
    tips = [("trained", "@n"), ("last", "@run"), (unit, "@x{0.0}"), ("ensemble", "@ensemble{0.000}")]
    tips += [("best network", "@best{0.000}"), ("iterations", "@iterations{0,0}")]
    where = f" on {device}" if device else ""
    plot = axes(f"{unit} of training jobs so far{where}", "validation ARI", tips=tips)
    source = ColumnDataSource(
        {
            "x": [s / seconds for s in spent],
            "n": [int(row["n_trained"]) for row in rows],
            "run": [row["run"] for row in rows],
            "iterations": [int(row["iterations"]) for row in rows],
            "best": [as_float(row["best_ari"]) for row in rows],
            "ensemble": [as_float(row["ensemble_ari"]) for row in rows],
        }
    )
    for name, kind, title in (
        ("ensemble", "member", f"ensemble of the best {size}" if size > 1 else "ensemble of one"),
        ("best", "other", "best network"),
    ):
        plot.step(
            "x", name, source=source, mode="after", color=COLOURS[kind], line_width=2, legend_label=title
        )
        plot.scatter("x", name, source=source, color=COLOURS[kind], size=5, legend_label=title)
    return legend_below(plot)
