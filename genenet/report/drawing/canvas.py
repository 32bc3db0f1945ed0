"""A white figure to draw boxes, texts, arrows and legends on, measured in points (1/72 inch) with y downward.

A layout is computed first, as plain data (`Rect`); a `Canvas` then draws it. The widths of texts come from a font that
is part of matplotlib, so that a layout is the same on every machine.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Patch, Polygon, Rectangle
from matplotlib.textpath import text_to_path

from genenet.core.atomic_files import atomic_path
from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

INK, FAINT = "#1f2328", "#656d76"
SMALL, NORMAL, TITLE = 6.5, 7.5, 11.0  # font sizes
KEY_HEIGHT, KEY_SWATCH, GAP = 13.0, 16.0, 14.0
FORMATS = (".svg", ".png")
DPI = 200  # of a PNG file
_FONT = "DejaVu Sans"  # part of matplotlib
_OTHER_FONTS = "Verdana", "Arial"  # for SVG viewers without that font: these are not wider
_CAP_HEIGHT = 0.73  # height of capitals and digits in units of the font size
_ARROWHEAD = 5.0  # length in points


@dataclass(frozen=True)
class Rect:
    """A rectangle; (x, y) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a box with this fill and rim, or an arrow in the colour of the rim."""

    text: str
    fill: str
    rim: str
    is_arrow: bool = False

    @property
    def width(self) -> float:
        """Width of the entry, swatch included."""
        return KEY_SWATCH + 4 + text_width(self.text, NORMAL)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line of text."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(size, bold), ismath=False)
    return float(width)


def shortened(text: str, limit: float, size: float, bold: bool = False) -> str:
    """Return a text as one printable line that is at most ``limit`` points wide, cut with an ellipsis if needed."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]
    if text_width(text, size, bold) <= limit:
        return text
    cuts = (text[:n] + "…" for n in range(len(text) - 1, 0, -1))
    return next((cut for cut in cuts if text_width(cut, size, bold) <= limit), "")


def flow(widths: Iterable[float], limit: float, gap: float = GAP) -> list[tuple[float, int]]:
    """Lay out items of these widths in lines, as words are; return x and line number of each item.

    ::

        |<---------- limit ---------->|
        | item 0 |gap| item 1 |gap|           line 0
        | item 2 |gap|                        line 1
    """
    places, x, line = [], 0.0, 0
    for width in widths:
        if x > 0 and x + width > limit:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += width + gap
    return places


def flow_height(widths: Sequence[float], limit: float, line_height: float) -> float:
    """Return the height of the lines that `flow` makes; 0 without items."""
    return line_height * (1 + flow(widths, limit)[-1][1]) if widths else 0.0


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, depending on the file's ending; the same figure always gives the same bytes.

    Raises:
        InputError: If the ending is another one.
    """
    check_format(path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(figure_bytes(figure, path.suffix.lower()))


def figure_bytes(figure: Figure, ending: str) -> bytes:
    """Return the content of a file with this ending, .svg or .png."""
    metadata = {"Date": None} if ending == ".svg" else {}
    file = io.BytesIO()
    with matplotlib.rc_context():
        # Texts stay texts instead of becoming paths; ids come from a fixed salt, so that files are reproducible
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "genenet", "savefig.bbox": None})
        matplotlib.rcParams["font.sans-serif"] = [_FONT, *_OTHER_FONTS]
        figure.savefig(file, format=ending[1:], dpi=DPI, metadata=metadata, facecolor="white")
    return file.getvalue()


def check_format(path: Path) -> None:
    """Raise InputError if the file's ending is not that of a picture format."""
    if path.suffix.lower() not in FORMATS:
        found = f"not as {path.suffix}" if path.suffix else "and this name has no ending"
        raise InputError(f"{path}: pictures are written as {' or '.join(FORMATS)}, {found}")


def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(family=[_FONT, "sans-serif"], size=size, weight="bold" if bold else "normal")


class Canvas:
    """A white figure of a given width and height in points."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()

    def box(self, rect: Rect, fill: str, rim: str, name: str | None = None, radius: float = 2) -> None:
        """Draw a box with rounded corners; ``name`` becomes its id in an SVG."""
        style = f"round,pad=0,rounding_size={radius}"
        patch = FancyBboxPatch((rect.x, rect.y), rect.width, rect.height, boxstyle=style, linewidth=0.8)
        patch.set(facecolor=fill, edgecolor=rim, gid=name)
        self._add(patch)

    def fill(self, rect: Rect, colour: str) -> None:
        """Fill a rectangle without a rim."""
        self._add(Rectangle((rect.x, rect.y), rect.width, rect.height, facecolor=colour, linewidth=0))

    def _add(self, patch: Patch) -> None:
        self.axes.add_patch(patch)
        patch.set_clip_on(False)  # clip paths have ids, which would collide in a page with several pictures

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = NORMAL,
        *,
        align: str = "left",
        bold: bool = False,
        colour: str = INK,
        upward: bool = False,
    ) -> None:
        """Write a line of text; its capitals are centred at ``y``, or at ``x`` if the text runs upward."""
        if not text:
            return
        drop = _CAP_HEIGHT / 2 * size
        x, y = (x + drop, y) if upward else (x, y + drop)
        self.axes.text(
            x,
            y,
            text,
            fontproperties=_font(size, bold),
            color=colour,
            ha=align,
            va="baseline",
            rotation=90 if upward else 0,
            rotation_mode="anchor",
            parse_math=False,
            usetex=False,
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 0.8) -> None:
        """Draw a line through points."""
        xs, ys = zip(*points, strict=True)
        self.axes.plot(
            xs, ys, color=colour, linewidth=width, solid_capstyle="butt", clip_on=False, zorder=0.5
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        """Draw an arrow; a very short one consists of the head only."""
        (x0, y0), (x1, y1) = start, end
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        head = min(_ARROWHEAD, length)
        half = 0.42 * head
        neck = x1 - head * dx, y1 - head * dy
        if length > head:
            self.line([start, neck], colour, width=1.0)
        wings = [(neck[0] + side * half * dy, neck[1] - side * half * dx) for side in (1, -1)]
        self._add(Polygon([wings[0], end, wings[1]], closed=True, facecolor=colour, linewidth=0))

    def title(self, x: float, y: float, name: str, subtitle: str, limit: float) -> None:
        """Write a bold name and a subtitle beside it; the name is cut if both together are wider than ``limit``."""
        name = shortened(name, limit - GAP - text_width(subtitle, NORMAL), TITLE, bold=True) or "genome"
        self.text(x, y, name, TITLE, bold=True)
        self.text(x + text_width(name, TITLE, bold=True) + GAP, y, subtitle, colour=FAINT)

    def legend(self, keys: Sequence[Key], x: float, y: float, width: float) -> None:
        """Draw keys in lines of at most ``width``; the upper edge of the first line is at ``y``."""
        for key, (dx, line) in zip(keys, flow([key.width for key in keys], width), strict=True):
            left, middle = x + dx, y + (line + 0.5) * KEY_HEIGHT
            if key.is_arrow:
                self.arrow((left, middle), (left + KEY_SWATCH, middle), key.rim)
            else:
                self.box(Rect(left, middle - 4, KEY_SWATCH, 8), key.fill, key.rim)
            self.text(left + KEY_SWATCH + 4, middle, key.text)
