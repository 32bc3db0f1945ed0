"""The gene graph as a picture: the root at the top, and below it each path as a tree from left to right.

::

    +--------------------------------------------------------------+
    | net   n_convkernels 5   input_size 94                        |
    +--------------------------------------------------------------+
       |                                  |
    [encode]-+-[stack0]---[layer0]-...  [decode]-+-[stack2]-...
             |                                   |
             +-[stack1]---[layer0]-...           +-[stack1]-...

The boxes of one level share their width, within both paths. The first child is at the height of its parent, the
others are below it, so that the genes read like an outline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from genenet.genes.hyperparameters import HYPERPARAMETERS, LEVELS, Level
from genenet.report.drawing.canvas import (
    FAINT,
    KEY_HEIGHT,
    NORMAL,
    SMALL,
    TITLE,
    Canvas,
    Key,
    Rect,
    flow_height,
    text_width,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from genenet.genes.domains import Number
    from genenet.genes.gene_graph import Gene, NetGene
    from genenet.genes.genome import Genome
    from genenet.genes.hyperparameters import Hyperparameter

COLOURS: dict[Level, tuple[str, str]] = {  # fill and rim
    "net": ("#e7eaee", "#57606a"),
    "path": ("#d3e5f8", "#0b62c4"),
    "stack": ("#cdebdb", "#0b7a4b"),
    "layer": ("#fde6c4", "#b35c00"),
    "edge": ("#f1dbea", "#9b3a7d"),
}
# Lengths in points
_MARGIN, _PADDING = 14.0, 4.0  # around the picture; around the texts of a box
_NAME_LINE, _DELTA_LINE = 10.0, 8.5  # heights of the lines of a box
_NAME_MIDDLE = _PADDING / 2 + _NAME_LINE / 2  # of the name, below the top of its box
_CHILD_GAP, _PATH_GAP, _ROOT_GAP = 16.0, 30.0, 18.0  # beside a parent; between the paths; below the root
# Between the children of such a gene
_SIBLING_GAP: dict[Level, float] = {"path": 11.0, "stack": 4.5, "layer": 2.5}
_MOST_LINES = 4  # lines of deltas in one column of a box; further deltas start a new column
_LEAST_WIDTH = 300.0
_TOP = _MARGIN + TITLE + 8


@dataclass(frozen=True)
class GeneBox:
    """The box of a gene with its texts.

    Attributes:
        gene: the gene.
        rect: the box.
        deltas: a text for each delta; at the root a text for each value that isn't the default.
        n_columns: number of columns of the deltas.
    """

    gene: Gene
    rect: Rect
    deltas: tuple[str, ...]
    n_columns: int


@dataclass(frozen=True)
class GeneLayout:
    """All boxes, the root first, parents before their children; lengths in points."""

    boxes: tuple[GeneBox, ...]

    @cached_property
    def width(self) -> float:
        """Width of the whole picture."""
        return max(box.rect.right for box in self.boxes) + _MARGIN

    @cached_property
    def bottom(self) -> float:
        """The y at which the lowest box ends."""
        return max(box.rect.bottom for box in self.boxes)

    def children(self, box: GeneBox) -> list[GeneBox]:
        """Return the boxes of the children of a gene, from above, or from the left for the root."""
        return [other for other in self.boxes if other.gene.parent is box.gene]


def _kind(gene: Gene) -> str:
    """Return the kind of an edge, and an empty text for other genes."""
    return str(getattr(gene, "kind", ""))


def delta_texts(gene: Gene) -> tuple[str, ...]:
    """Return the non-zero deltas of a gene, with their signs; at the root the values that aren't the default."""
    known = [(HYPERPARAMETERS[name], number) for name, number in gene.deltas.items()]
    if gene.parent is None:
        return tuple(f"{h.name} {_value(h, number)}" for h, number in known if number != h.default)
    return tuple(f"{h.name} {_number(number, '+')}" for h, number in known if number)


def _value(h: Hyperparameter, number: Number) -> str:
    if h.choices:
        return str(h.choices[int(number)]).lower()
    return _number(number)


def _number(number: Number, sign: str = "") -> str:
    text = f"{number:{sign}d}" if isinstance(number, int) else f"{number:{sign}.3g}"
    return text.replace("-", "−")


def layout_genes(net: NetGene) -> GeneLayout:
    """Place all genes as in the picture at the top of this module."""
    genes = list(net.walk())[1:]
    sizes = {gene.path: _size(gene) for gene in genes}
    widths = {
        level: max((sizes[g.path][0] for g in genes if g.level == level), default=0) for level in LEVELS
    }
    extents = [_extent(path, widths) for path in net.children]
    width = max(sum(extents) + _PATH_GAP * (len(extents) - 1), _LEAST_WIDTH)
    boxes = [_root(net, width)]
    x, y = _MARGIN, boxes[0].rect.bottom + _ROOT_GAP
    for path, extent in zip(net.children, extents, strict=True):
        boxes += _subtree(path, x, y, widths)
        x += extent + _PATH_GAP
    return GeneLayout(tuple(boxes))


def _extent(path: Gene, widths: Mapping[Level, float]) -> float:
    """Return the width of a path with all its descendants."""
    levels = {gene.level for gene in path.walk()}
    return sum(widths[level] for level in levels) + _CHILD_GAP * (len(levels) - 1)


def _root(net: NetGene, width: float) -> GeneBox:
    texts = delta_texts(net) or ("all values are the defaults",)
    fitting = max(1, int((width - 2 * _PADDING) / (max(_delta_width(text) for text in texts) + _PADDING)))
    n_columns = math.ceil(len(texts) / math.ceil(len(texts) / fitting))  # so that the lines are equally long
    return GeneBox(net, Rect(_MARGIN, _TOP, width, _height(len(texts), n_columns)), texts, n_columns)


def _subtree(gene: Gene, x: float, y: float, widths: Mapping[Level, float]) -> list[GeneBox]:
    """Return the boxes of a gene at (x, y) and of all its descendants."""
    texts, (_, height) = delta_texts(gene), _size(gene)
    width = widths[gene.level]
    boxes = [GeneBox(gene, Rect(x, y, width, height), texts, _n_columns(texts))]
    for child in gene.children:
        boxes += _subtree(child, x + width + _CHILD_GAP, y, widths)
        y = max(box.rect.bottom for box in boxes if box.rect.x > x) + _SIBLING_GAP[gene.level]
    return boxes


def _size(gene: Gene) -> tuple[float, float]:
    """Return the width and height that the texts of a gene need."""
    texts = delta_texts(gene)
    widest = max((_delta_width(text) for text in texts), default=0) * _n_columns(texts)
    name = text_width(gene.name + " ", NORMAL, bold=True) + text_width(_kind(gene), NORMAL)
    return max(name, widest) + 2 * _PADDING, _height(len(texts), _n_columns(texts))


def _n_columns(texts: Sequence[str]) -> int:
    return max(1, math.ceil(len(texts) / _MOST_LINES))


def _height(n_texts: int, n_columns: int) -> float:
    return _NAME_LINE + _DELTA_LINE * math.ceil(n_texts / n_columns) + _PADDING


def _delta_width(text: str) -> float:
    return text_width(text, SMALL) + _PADDING


def draw_genes(genome: Genome) -> Figure:
    """Draw the gene graph of a genome: every gene with its deltas, a colour for each level."""
    layout = layout_genes(genome.net)
    keys = [Key("convolution layer" if level == "layer" else level, *COLOURS[level]) for level in LEVELS]
    inner = layout.width - 2 * _MARGIN
    legend = layout.bottom + _MARGIN
    height = legend + flow_height([key.width for key in keys], inner, KEY_HEIGHT) + _MARGIN / 2
    canvas = Canvas(layout.width, height)
    canvas.title(_MARGIN, _MARGIN + TITLE / 2, genome.name, f"gene graph, genome {genome.id}", inner)
    for box in layout.boxes:
        for points in _links(box, layout.children(box)):
            canvas.line(points, FAINT)
        _draw_box(canvas, box)
    canvas.legend(keys, _MARGIN, legend, inner)
    return canvas.figure


def _links(parent: GeneBox, children: list[GeneBox]) -> list[list[tuple[float, float]]]:
    """Return the lines to the children of a gene.

    ::

        root                    [parent]---[first child]
         |                               |
        [path]                           +-[other child]
    """
    if parent.gene.parent is None:
        middles = [(child.rect.middle[0], child.rect.y) for child in children]
        return [[(x, parent.rect.bottom), (x, y)] for x, y in middles]
    if not children:
        return []
    first, *others = [(child.rect.x, child.rect.y + _NAME_MIDDLE) for child in children]
    lines = [[(parent.rect.right, first[1]), first]]
    if others:
        trunk = (parent.rect.right + first[0]) / 2
        lines += [[(trunk, first[1]), (trunk, others[-1][1])], *([(trunk, y), (x, y)] for x, y in others)]
    return lines


def _draw_box(canvas: Canvas, box: GeneBox) -> None:
    fill, rim = COLOURS[box.gene.level]
    rect = box.rect
    canvas.box(rect, fill, rim, name=box.gene.path)
    x, middle = rect.x + _PADDING, rect.y + _NAME_MIDDLE
    canvas.text(x, middle, box.gene.name, bold=True)
    canvas.text(x + text_width(box.gene.name + " ", NORMAL, bold=True), middle, _kind(box.gene))
    step = (rect.width - 2 * _PADDING) / box.n_columns
    for index, text in enumerate(box.deltas):
        line, column = divmod(index, box.n_columns)
        y = middle + _NAME_LINE / 2 + (line + 0.5) * _DELTA_LINE
        canvas.text(x + column * step, y, text, SMALL)
