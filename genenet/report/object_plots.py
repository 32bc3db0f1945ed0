"""Plots of objects that are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bokeh.models import ColumnDataSource

from genenet.report.plot_style import COLOURS, INK, axes, legend_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bokeh.model import Model
    from bokeh.plotting import figure as Figure

    from genenet.report.object_sections import ObjectSection

CONTACTS = "contacts of "  # prefix of the names of plots of a class of objects


def plots_of_objects(sections: Sequence[ObjectSection]) -> dict[str, Model | None]:
    """Return the plots by the name under which the template shows them."""
    return {CONTACTS + each.name: contact_reliability(each) for each in sections if each.contacts}


def contact_reliability(section: ObjectSection) -> Figure:
    """Plot the share of wrong contacts against their risk on the test images; a larger mark stands for more of them.

    On the diagonal, the risk is the share.
    """
    bins = list(section.bins)
    most = max(n for n, _, _ in bins)
    source = ColumnDataSource(
        {
            "n": [n for n, _, _ in bins],
            "risk": [risk for _, risk, _ in bins],
            "wrong": [wrong for *_, wrong in bins],
            "size": [6 + 18 * (n / most) ** 0.5 for n, _, _ in bins],
        }
    )
    tips = [("risk", "@risk{0.00}"), ("wrong", "@wrong{0.00}"), ("contacts", "@n{0,0}")]
    plot = axes(
        "risk that both are one object",
        "share of contacts that are wrong",
        tips=tips,
        x_range=(0, 1),
        y_range=(0, 1),
    )
    plot.line([0, 1], [0, 1], color=INK, line_dash="dotted", legend_label="calibrated")
    plot.scatter(
        "risk", "wrong", size="size", source=source, color=COLOURS["member"], legend_label="test images"
    )
    return legend_below(plot)
