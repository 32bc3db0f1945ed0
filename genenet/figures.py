"""Pictures of the report as data URIs: plots in a light and a dark version, slices as PNG."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from genenet.drawing import figure_bytes
from genenet.gene_drawing import draw_genes
from genenet.network_drawing import draw_network
from genenet.palette import class_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from genenet.genome import Genome
    from genenet.results import Run

SIZE_INCHES = 4.8, 3.6  # small, so that the letters can still be read on a phone
DPI = 200
UNCERTAINTY_MAP = "viridis"
UNKNOWN_COLOUR = (128, 128, 128)  # labels that are no class: ignored voxels
_FILL, _RIM = 0.45, 0.9  # opacity of classes on the image, inside and at their borders


@dataclass(frozen=True)
class Picture:
    """A picture as data URIs.

    Attributes:
        title: what it shows, in a word or two.
        alt: the same for those who can't see it.
        light: for a light page.
        dark: for a dark page, if that differs.
    """

    title: str
    alt: str
    light: str
    dark: str | None = None


@dataclass(frozen=True)
class Theme:
    """Colours of a plot on a transparent ground."""

    ink: str
    grid: str
    other: str
    member: str
    baseline: str


LIGHT = Theme(ink="#24292f", grid="#e1e5ea", other="#8b949e", member="#0b62c4", baseline="#c2510a")
DARK = Theme(ink="#d5dbe1", grid="#333a43", other="#98a2ad", member="#6cb0ff", baseline="#ff9d57")


def ensemble_curve(
    aris: Sequence[float | None], chosen: int, lines: Mapping[str, float | None]
) -> Picture | None:
    """Plot the ARI of the best-k ensembles, k from 1 on; None if no ARI is known.

    Args:
        aris: of the ensembles.
        chosen: size of the ensemble that was chosen.
        lines: ARI of single networks to compare with, by name; the first is the best random one.
    """
    points = [(size, ari) for size, ari in enumerate(aris, start=1) if ari is not None]
    if not points:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot(*_columns(points), color=theme.member, marker="o", markersize=4, label="best-k ensemble")
        marked = [point for point in points if point[0] == chosen]
        axes.plot(*_columns(marked), "o", markersize=11, fillstyle="none", color=theme.member, label="chosen")
        for index, (name, ari) in enumerate(lines.items()):
            if ari is not None:
                colour, style = (theme.baseline, _dashes(index)) if index else (theme.other, "--")
                axes.axhline(ari, color=colour, linestyle=style, linewidth=1.2, label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="networks in the ensemble", ylabel="validation ARI")

    light, dark = _both(draw)
    ends = f"from {points[0][1]:.3f} with {points[0][0]} to {points[-1][1]:.3f} with {points[-1][0]}"
    return Picture(
        "Best-k ensembles", f"Validation ARI of the best-k ensembles, {ends} networks", light, dark
    )


def parameters(runs: Sequence[Run], ensemble_ari: float | None) -> Picture | None:
    """Plot ARI against number of parameters; None if no run has both."""
    known = [run for run in runs if run.ari is not None and run.n_parameters]
    if not known:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        styles: dict[str, dict[str, Any]] = {
            "other": {"marker": "o", "facecolors": "none", "edgecolors": theme.other, "s": 26},
            "member": {"marker": "o", "color": theme.member, "s": 36},
            "baseline": {"marker": "D", "color": theme.baseline, "s": 36},
        }
        for kind, style in styles.items():
            points = [(run.n_parameters, run.ari) for run in known if run.kind == kind]
            if points:
                axes.scatter(*_columns(points), label=_KINDS[kind], zorder=3, **style)
        if ensemble_ari is not None:
            axes.axhline(ensemble_ari, color=theme.member, linewidth=1.2, label="the ensemble")
        _log_axis(axes, [run.n_parameters or 1 for run in known])
        axes.set(xlabel="parameters", ylabel="validation ARI")

    light, dark = _both(draw)
    return Picture("Size", f"Validation ARI of {len(known)} networks against their parameters", light, dark)


def learning_curves(runs: Sequence[Run]) -> Picture | None:
    """Plot validation ARI against iteration, a line for each run; None without any validation."""
    known = [run for run in runs if run.history]
    if not known:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        styles: dict[str, dict[str, Any]] = {
            "other": {"color": theme.other, "linewidth": 0.8, "alpha": 0.6},
            "member": {"color": theme.member, "linewidth": 1.6},
            "baseline": {"color": theme.baseline, "linewidth": 1.6, "linestyle": "--"},
        }
        for kind, style in styles.items():
            for index, run in enumerate(run for run in known if run.kind == kind):
                marker = "." if len(run.history) < 10 else ""
                label = None if index else _KINDS[kind]
                axes.plot(*_columns(run.history), marker=marker, label=label, **style)
        axes.set(xlabel="iteration", ylabel="validation ARI")

    light, dark = _both(draw)
    return Picture("Learning curves", f"Validation ARI of {len(known)} trainings by iteration", light, dark)


_KINDS = {"other": "other networks", "member": "members of the ensemble", "baseline": "baseline"}


def _columns(points: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [x for x, _ in points], [y for _, y in points]


def _dashes(index: int) -> Any:
    return (0, (5, index))


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis whose ticks read 20k, 1M and don't crowd."""
    decades = math.log10(max(values) / min(values))
    subs = (1,) if decades >= 2 else (1, 2, 5) if decades >= 0.5 else (1, 1.5, 2, 3, 4, 6, 8)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.3, max(values) * 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _both(draw: Callable[[Axes, Theme], None]) -> tuple[str, str]:
    light, dark = (_plot(draw, theme) for theme in (LIGHT, DARK))
    return light, dark


def _plot(draw: Callable[[Axes, Theme], None], theme: Theme) -> str:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, theme)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.other)
    axes.tick_params(color=theme.other, labelcolor=theme.ink)
    axes.tick_params(which="minor", color=theme.grid)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=theme.ink, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, transparent=True)
    return _data_uri(buffer.getvalue())


def slice_pictures(
    image: NDArray[Any], labels: NDArray[Any] | None, classes: NDArray[Any], uncertainty: NDArray[Any], n: int
) -> list[Picture]:
    """Return the pictures of one slice.

    Args:
        image: (Y, X), of any type.
        labels: (Y, X) true classes, if they are known.
        classes: (Y, X) classes that the ensemble found.
        uncertainty: (Y, X), 0 to 1.
        n: number of classes.
    """
    grey, found = stretch(image), colour(classes, n)
    heat = np.asarray(colormaps[UNCERTAINTY_MAP](np.clip(uncertainty.astype(np.float64), 0, 1), bytes=True))
    pictures = [
        _picture("Image", grey),
        _picture("Segmentation", found),
        _picture("Segmentation on the image", overlay(grey, classes, found)),
        _picture("Uncertainty", heat[..., :3]),
    ]
    if labels is not None:
        pictures.insert(1, _picture("Labels", colour(labels, n)))
    return pictures


def stretch(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image as 8 bits, black and white at the percentiles 0.5 and 99.5; what isn't finite is black."""
    values = image.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    scaled = (values - low) / (high - low if high > low else 1.0)
    return np.rint(255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)


def colour(classes: NDArray[Any], n: int) -> NDArray[np.uint8]:
    """Return class ids (Y, X) as colours (Y, X, 3); ids that are no class are grey."""
    colours = np.array([*class_colours(n), UNKNOWN_COLOUR], np.uint8)
    return colours[np.where((classes >= 0) & (classes < n), classes, n).astype(np.intp)]


def overlay(grey: NDArray[np.uint8], classes: NDArray[Any], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image (Y, X) under the classes' colours (Y, X, 3); the background stays as it is."""
    rim = np.zeros(classes.shape, bool)
    rim[:-1] |= classes[:-1] != classes[1:]
    rim[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    opacity = np.where(classes == 0, 0.0, np.where(rim, _RIM, _FILL))[..., None]
    return np.rint((1 - opacity) * grey[..., None] + opacity * colours).astype(np.uint8)


def _picture(title: str, pixels: NDArray[np.uint8]) -> Picture:
    png = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=9)
    return Picture(title, f"{title}, {pixels.shape[1]} by {pixels.shape[0]} pixels", _data_uri(png))


def genome_pictures(genome: Genome, n_classes: int) -> list[Picture]:
    """Return the gene graph and the network of a genome, as SVG."""
    titled = {
        f"Gene graph of {genome.name}": draw_genes(genome),
        f"Network of {genome.name}": draw_network(genome, n_classes),
    }
    return [
        Picture(title, title, _data_uri(figure_bytes(figure, ".svg"), "svg+xml"))
        for title, figure in titled.items()
    ]


def _data_uri(data: bytes | bytearray, kind: str = "png") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")
