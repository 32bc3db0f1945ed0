"""The network of a genome as a picture: a bar for each tensor, and an arrow for each operation.

From top to bottom: title, caption with the network in numbers, the bars and arrows of ``layout``, legend, note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.genes.gene_graph import ConvLayerGene
from genenet.genes.plan import Plan, plan
from genenet.report.drawing.canvas import (
    FAINT,
    INK,
    KEY_HEIGHT,
    NORMAL,
    SMALL,
    TITLE,
    Canvas,
    Key,
    Rect,
    flow,
    flow_height,
    text_width,
)
from genenet.report.drawing.layout import NetworkLayout, Tensor, layout_network, shape_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from genenet.genes.genome import Genome

OPERATION_FILLS = (  # fills of the outputs of convolutions, one for each kind of convolution
    "#c3dcf5", "#fbd9a5", "#c9e8d6", "#e6cfee", "#f6f0a6", "#f7c8c0", "#bfe9ee", "#d8cdbd"
)  # fmt: skip
_DOWN, _UP, _SKIP, _RIM = "#c2410c", "#15803d", "#8b949e", "#3b4b5c"
_WHITE, _DOWN_FILL, _UP_FILL, _CLASSES_FILL = "#ffffff", "#fbe5da", "#dcf3e3", "#cfd4da"
_MARGIN, _LEFT = 14.0, 42.0  # points; the names of the scales stand in the left column
_LEAST_WIDTH = 450.0
_CAPTION_LINE = 11.0
_TOP = _MARGIN + TITLE + 6


def draw_network(genome: Genome, n_classes: int) -> Figure:
    """Draw the network of a genome for ``n_classes`` classes: its tensors for one training patch.

    Raises:
        InputError: If no input size up to the genome's is feasible.
    """
    built = plan(genome.net, n_classes)
    layout = layout_network(built)
    keys, fills = _keys(layout)
    caption = caption_texts(genome, built)
    width = max(_LEFT + layout.bars[-1].right + 2 * _MARGIN, _LEAST_WIDTH)
    inner = width - 2 * _MARGIN
    top = _TOP + flow_height([text_width(text, NORMAL) for text in caption], inner, _CAPTION_LINE) + _MARGIN
    legend = top + max(bar.bottom for bar in layout.bars) + 1.4 * _MARGIN
    note = legend + flow_height([key.width for key in keys], inner, KEY_HEIGHT) + KEY_HEIGHT / 2
    canvas = Canvas(width, note + _MARGIN)
    _draw_caption(canvas, genome, caption, inner)
    left = _LEFT + (width - _LEFT - _MARGIN - layout.bars[-1].right) / 2
    bars = [Rect(bar.x + left, bar.y + top, bar.width, bar.height) for bar in layout.bars]
    _draw_arrows(canvas, layout, bars)
    _draw_bars(canvas, layout, bars, fills)
    canvas.legend(keys, _MARGIN, legend, inner)
    axes = "z × y × x" if built.has_depth else "y × x"
    text = f"Each bar is a tensor: its channels stand above it, its size in voxels ({axes}) inside."
    canvas.text(_MARGIN, note, text, SMALL, colour=FAINT)
    return canvas.figure


def caption_texts(genome: Genome, built: Plan) -> list[str]:
    """Return the caption of a network: its numbers, as in the captions of Guay (2017)."""
    genes = [gene for gene in genome.net.walk() if isinstance(gene, ConvLayerGene)]
    kernels = sorted({gene.integer("n_convkernels") for gene in genes})
    limits = sorted({gene.n_channels for gene in genes if gene.is_limited})
    sizes = [shape_text(shape, built.has_depth) for shape in (built.input_shape, built.output_shape)]
    return [
        f"{built.n_parameters:,} parameters",
        f"{built.n_layers} layers ({built.n_convlayers} convolutions)",
        " → ".join(sizes),
        f"{_from_to(kernels)} kernels" + (f", at most {_from_to(limits)} channels" if limits else ""),
        f"log₁₀ learning rate {genome.net.value('log_learning_rate'):.3g}".replace("-", "−"),
    ]


def _from_to(values: list[int]) -> str:
    """Write sorted values by the first and the last."""
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _draw_caption(canvas: Canvas, genome: Genome, texts: list[str], width: float) -> None:
    what = f"network, genome {genome.id}"
    canvas.title(_MARGIN, _MARGIN + TITLE / 2, genome.name, what, width)
    places = flow([text_width(text, NORMAL) for text in texts], width)
    for text, (x, line) in zip(texts, places, strict=True):
        canvas.text(_MARGIN + x, _TOP + (line + 0.5) * _CAPTION_LINE, text)


def _keys(layout: NetworkLayout) -> tuple[list[Key], dict[str, str]]:
    """Return the legend of all kinds of bars and arrows that occur, and the fill of each operation."""
    operations = list(dict.fromkeys(t.operation for t in layout.tensors if t.operation))
    fills = dict(zip(operations, OPERATION_FILLS, strict=False))
    keys = [Key("input", _WHITE, _RIM)]
    keys += [Key(operation, fill, _RIM) for operation, fill in fills.items()]
    sources = {tensor.source for tensor in layout.tensors}
    linear = f"{shape_text((1, 1, 1), layout.has_depth)} convolution"
    keys.append(Key(f"{linear} to {_classes(layout.tensors[-1].channels)}", _CLASSES_FILL, _RIM))
    if "down" in sources:
        keys.append(Key("pooling", _WHITE, _DOWN, is_arrow=True))
    if "up" in sources:
        keys.append(Key("transposed convolution", _WHITE, _UP, is_arrow=True))
    if layout.skips:
        crops = any(layout.tensors[s.start].shape != layout.tensors[s.end].shape for s in layout.skips)
        keys.append(Key(f"copy{', crop' * crops} and concatenate", _WHITE, _SKIP, is_arrow=True))
    return keys, fills


def _classes(n: int) -> str:
    return f"{n} class{'es' * (n > 1)}"


def _draw_arrows(canvas: Canvas, layout: NetworkLayout, bars: list[Rect]) -> None:
    for before, after in layout.steps:
        _draw_step(canvas, layout.tensors[after], bars[before], bars[after], layout.label_height)
    for skip in layout.skips:
        start, end = bars[skip.start], bars[skip.end]
        y = start.middle[1]
        canvas.arrow((start.right + 1, y), (end.x - 1, y), _SKIP)
        given, taken = (layout.tensors[index].shape for index in (skip.start, skip.end))
        text = f"crop to {shape_text(taken, layout.has_depth)}" if given != taken else ""
        if text_width(text, SMALL) < end.x - start.right - 14:
            canvas.text((start.right + end.x) / 2, y - 6, text, SMALL, align="center", colour=FAINT)


def _draw_step(canvas: Canvas, tensor: Tensor, before: Rect, after: Rect, label: float) -> None:
    """Draw the arrow from one bar to the next, with a label where the scale changes."""
    x = after.middle[0]
    if tensor.source == "down":
        start, end = (x, before.bottom + 1), (x, after.y - label - 1)
        canvas.arrow(start, end, _DOWN)
        canvas.text(x - 5, (start[1] + end[1]) / 2, tensor.pooling, SMALL, align="right", colour=_DOWN)
    elif tensor.source == "up":
        start, end = (x, before.y - label - 1), (x, after.bottom + 1)
        canvas.arrow(start, end, _UP)
        canvas.text(x + 5, (start[1] + end[1]) / 2, tensor.pooling, SMALL, colour=_UP)
    else:
        canvas.arrow((before.right + 0.7, after.middle[1]), (after.x - 0.7, after.middle[1]), INK)


def _draw_bars(canvas: Canvas, layout: NetworkLayout, bars: list[Rect], fills: dict[str, str]) -> None:
    named: set[int] = set()
    for index, (tensor, bar) in enumerate(zip(layout.tensors, bars, strict=True)):
        x, middle = bar.middle
        _draw_bar(canvas, tensor, bar, _fill(tensor, fills), f"tensor{index}")
        canvas.text(x, middle, shape_text(tensor.shape, layout.has_depth), SMALL, align="center", upward=True)
        if layout.upright:
            canvas.text(x, bar.y - 2.5, str(tensor.channels), SMALL, upward=True, bold=True)
        else:
            canvas.text(x, bar.y - 5, str(tensor.channels), SMALL, align="center", bold=True)
        if tensor.scale not in named:
            named.add(tensor.scale)
            canvas.text(_MARGIN, middle, f"scale {tensor.scale}", SMALL, colour=FAINT)


def _draw_bar(canvas: Canvas, tensor: Tensor, bar: Rect, fill: str, name: str) -> None:
    """Draw a bar; the share of the copied channels is white."""
    white = bar.width * tensor.copied / tensor.channels
    if white:
        canvas.fill(Rect(bar.x, bar.y + 0.5, white, bar.height - 1), _WHITE)
        canvas.fill(Rect(bar.x + white, bar.y + 0.5, bar.width - white, bar.height - 1), fill)
    canvas.box(bar, "none" if white else fill, _RIM, name=name, radius=1.5)


def _fill(tensor: Tensor, fills: dict[str, str]) -> str:
    others = {"input": _WHITE, "down": _DOWN_FILL, "up": _UP_FILL, "classes": _CLASSES_FILL}
    return others.get(tensor.source) or fills[tensor.operation]
