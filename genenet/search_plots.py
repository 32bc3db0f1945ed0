"""The report's plots of how a search went: what it was worth at any time, and who descends from whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool

from genenet.plots import COLOURS, KINDS, QUIET, axes, legend_below
from genenet.results import as_float

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure

    from genenet.results import Run

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
SPREAD = 0.6  # width of a round along the axis


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


def family(runs: Sequence[Run]) -> Figure | None:
    """Plot the ARI of bred genomes by round, with lines from their parents; None if none were bred."""
    known = [run for run in runs if run.kind != "baseline" and run.ari is not None]
    if not any(run.parents for run in known):
        return None
    by_id = {run.genome: run for run in reversed(known)}  # of equal genomes the best
    places = {run.run: (_place(run.run, known), float(run.ari or 0)) for run in known}
    pairs = [(by_id[p], child) for child in known for p in child.parents if p in by_id]
    tips = [("run", "@run"), ("ARI", "@y{0.000}"), ("parents", "@parents")]
    plot = axes("round", "validation ARI", 360)
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
                "x": [places[run.run][0] for run in of_kind],
                "y": [run.ari for run in of_kind],
                "run": [run.run for run in of_kind],
                "parents": [_called(run, by_id) for run in of_kind],
            }
        )
        if of_kind:
            dots.append(
                plot.scatter("x", "y", source=source, color=COLOURS[kind], size=8, legend_label=KINDS[kind])
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
