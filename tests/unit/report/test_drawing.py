"""The pictures of a genome: nothing is missing, nothing overlaps, all can be read."""

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch

from genenet.config.model import Search
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.genome import Genome, genome_from_json, read_genome
from genenet.genes.hyperparameters import HYPERPARAMETERS
from genenet.genes.plan import plan
from genenet.report.drawing import canvas
from genenet.report.drawing.canvas import Rect, flow, write_figure
from genenet.report.drawing.genes import draw_genes, layout_genes
from genenet.report.drawing.layout import layout_network
from genenet.report.drawing.network import caption_texts, draw_network
from tests.support import runs
from tests.support.examples import examples
from tests.support.published import PUBLISHED, published

NETWORK_22 = published("22", 53, 1, 1, (3, 2), 48, -5.2)
REGIONS = {
    "net": {
        "n_convkernels": [8, 16],
        "n_stacks": [1, 4],
        "n_convlayers": [1, 4],
        "input_size": [200, 400],
        "input_depth": 150,
        "log_learning_rate": [-4, -2],
        "activation": ["relu", "elu"],
        "spatial_mode": ["2d", "2.5d"],
    },
    "path": {"dropout_rate": [0, 0.3]},
    "stack": {"n_convlayers": [-2, 2], "dropout_rate": [0, 0.3], "norm": [0, 1]},
    "layer": {name: [-3, 3] for name in ("n_convkernels", "activation", "log_gamma1", "log_lambda2")}
    | {"kernel_width": [0, 2], "spatial_mode": [-1, 1], "padding": [0, 1]},
    "edge": {"pooling": [0, 1]},
}
FEASIBLE = Search(regions=REGIONS).feasible_regions()
SIXTY_REGIONS = {
    **REGIONS,
    "net": {
        **REGIONS["net"],
        "n_stacks": 5,
        "n_convlayers": 6,
        "input_size": [2000, 4000],
        "spatial_mode": "2d",
    },
    "stack": {"dropout_rate": [0, 0.2]},
    "layer": {"n_convkernels": [-3, 3], "kernel_width": [0, 2], "log_gamma1": [-1, 1]},
}
SIXTY = draw(Search(regions=SIXTY_REGIONS).feasible_regions(), seed=1, index=0)
EXTREMES = [
    Genome("", {}),
    Genome(
        "a name $x^2$ <&> " + "that never ends " * 9 + "\nand has two lines", {"net": {"n_convkernels": 1024}}
    ),
    Genome("W" * 60, {"net": {"n_stacks": 1, "n_convlayers": 1}}),
    Genome("small", {"net": {"n_stacks": 1, "n_convlayers": 1, "input_size": 24, "padding": 1}}),
    Genome(
        "deep",
        {"net": {"n_stacks": 6, "n_convlayers": 6, "input_size": 4096, "n_convkernels": 1000, "padding": 1}},
    ),
    Genome(
        "3d",
        {
            "net": {
                "spatial_mode": 1,
                "input_size": 1000,
                "input_depth": 1000,
                "n_convlayers": 6,
                "n_stacks": 4,
            }
        },
    ),
]
GENOMES = [NETWORK_22, SIXTY, *EXTREMES, *(draw(FEASIBLE, seed=5, index=i) for i in range(4))]


def name(genome):
    return genome.name[:12]


def overlap(a, b):
    return a.x < b.right and b.x < a.right and a.y < b.bottom and b.y < a.bottom


def overlapping(rects):
    return [(a, b) for a, b in itertools.combinations(rects, 2) if overlap(a, b)]


def in_points(figure, extent):
    """Turn an extent in pixels, y upward, into points, y downward."""
    x0, y0, x1, y1 = (value * 72 / figure.dpi for value in extent.extents)
    return Rect(x0, figure.get_figheight() * 72 - y1, x1 - x0, y1 - y0)


def texts_of(figure):
    """Every text with the place that the renderer gives it, as a PNG has it."""
    figure.set_dpi(canvas.DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [(text, in_points(figure, text.get_window_extent(renderer))) for text in figure.axes[0].texts]


def boxes_of(figure):
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    return {patch: in_points(figure, patch.get_window_extent()) for patch in patches}


def inside(inner, outer, slack=0.3):
    return (
        inner.x > outer.x - slack
        and inner.y > outer.y - slack
        and inner.right < outer.right + slack
        and inner.bottom < outer.bottom + slack
    )


def check_legible(figure):
    """Texts are large enough, within the picture, apart from each other and from lines, in a box or beside it."""
    texts, boxes = texts_of(figure), list(boxes_of(figure).values())
    page = Rect(0, 0, *(72 * figure.get_size_inches()))
    lines = [in_points(figure, line.get_window_extent()) for line in figure.axes[0].lines]
    assert min(text.get_fontsize() for text, _ in texts) >= 6
    assert all(inside(rect, page) for rect in boxes)
    for text, rect in texts:
        assert inside(rect, page, slack=0), text
        assert all(inside(rect, box) for box in boxes if overlap(box, rect)), text
        assert not any(overlap(rect, line) for line in lines), text
    assert not overlapping([rect for _, rect in texts])
    assert not overlapping(boxes)


def svg_texts(path):
    root = ElementTree.parse(path).getroot()
    return ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("genome", GENOMES, ids=name)
def test_the_gene_graph_is_legible(genome):
    check_legible(draw_genes(genome))


@pytest.mark.parametrize("genome", GENOMES, ids=name)
def test_the_network_is_legible(genome):
    check_legible(draw_network(genome, 7))


@pytest.mark.slow
def test_sixty_layers_are_drawn_on_a_page():
    assert plan(SIXTY.net, 7).n_convlayers == 66
    assert max(draw_network(SIXTY, 7).get_size_inches()) < 15
    assert max(draw_genes(SIXTY).get_size_inches()) < 22


@examples(20)
@given(st.integers(0, 10_000))
def test_no_boxes_overlap_in_layouts_of_random_genomes(index):
    genome = draw(FEASIBLE, seed=7, index=index)
    assert not overlapping([box.rect for box in layout_genes(genome.net).boxes])
    layout = layout_network(plan(genome.net, 3))
    assert not overlapping(layout.bars)
    scales = [tensor.scale for tensor in layout.tensors]
    for (a, bar_a), (b, bar_b) in itertools.combinations(zip(scales, layout.bars, strict=True), 2):
        assert a >= b or bar_a.bottom < bar_b.y, "scales stand below one another"


def test_every_gene_has_a_box_with_its_name_and_deltas(tmp_path):
    deltas = {
        "net": {
            "n_convkernels": 30,
            "n_stacks": 1,
            "n_convlayers": 1,
            "activation": "elu",
            "norm": "batch",
        },
        "net/encode": {"dropout_rate": 0.12345},
        "net/decode/stack1": {"n_convlayers": 1, "n_convkernels": -3},
        "net/decode/stack0/layer0": {"activation": -1},
        "net/decode/stack0/layer0/edge1": {"pooling": 1},
    }
    figure = draw_genes(Genome("x", deltas))
    boxes = {patch.get_gid(): rect for patch, rect in boxes_of(figure).items() if patch.get_gid()}
    said = dict.fromkeys(boxes, "")
    for text, rect in texts_of(figure):
        for path in (path for path, box in boxes.items() if inside(rect, box)):
            said[path] += f"{text.get_text()} "
    assert said == {
        "net": "net n_convkernels 30 n_stacks 1 n_convlayers 1 activation elu norm batch ",
        "net/encode": "encode dropout_rate +0.123 ",
        "net/encode/stack0": "stack0 ",
        "net/encode/stack0/layer0": "layer0 ",
        "net/encode/stack0/layer0/edge0": "edge0 forward ",
        "net/decode": "decode ",
        "net/decode/stack1": "stack1 n_convlayers +1 n_convkernels −3 ",
        "net/decode/stack1/layer0": "layer0 ",
        "net/decode/stack1/layer0/edge0": "edge0 down ",
        "net/decode/stack1/layer1": "layer1 ",
        "net/decode/stack1/layer1/edge0": "edge0 forward ",
        "net/decode/stack0": "stack0 ",
        "net/decode/stack0/layer0": "layer0 activation −1 ",
        "net/decode/stack0/layer0/edge0": "edge0 up ",
        "net/decode/stack0/layer0/edge1": "edge1 merge pooling +1 ",
    }
    write_figure(figure, tmp_path / "genes.svg")
    assert {"stack1", "n_convkernels −3", "activation elu", "convolution layer"} <= set(
        svg_texts(tmp_path / "genes.svg")
    )


@pytest.mark.parametrize(("genome", "classes", "n_parameters", "before", "after"), PUBLISHED)
def test_the_caption_has_the_published_numbers(tmp_path, genome, classes, n_parameters, before, after):
    write_figure(draw_network(genome, classes), tmp_path / "network.svg")
    texts = svg_texts(tmp_path / "network.svg")
    rate = f"{genome.net.value('log_learning_rate'):g}".replace("-", "−")
    kernels = genome.net.integer("n_convkernels")
    for said in (
        f"{n_parameters:,} parameters",
        f"{before} × {before} → {after} × {after}",
        f"{kernels} kernels",
        f"log₁₀ learning rate {rate}",
        f"1 × 1 convolution to {classes} classes",
    ):
        assert said in texts
    assert texts.count(f"{after} × {after}") >= 2  # of the last convolution and of the classes


def test_the_caption_says_where_channels_are_limited():
    net = {"n_convkernels": 6, "n_stacks": 2, "input_size": 80, "max_convkernels": 12}
    one, two = Genome("one", {"net": net}), Genome("two", {"net": net, "net/decode": {"max_convkernels": 4}})
    captions = [caption_texts(genome, plan(genome.net, 2)) for genome in (one, two)]
    assert captions[0][3] == "6 kernels, at most 12 channels"
    assert captions[1][3] == "6 kernels, at most 16 channels"  # 24 at the bottom of the decoder


def test_tensors_are_those_of_the_network():
    tensors = layout_network(plan(NETWORK_22.net, 7)).tensors
    assert [(t.column, t.scale, t.channels, t.shape[-1], t.source) for t in tensors] == [
        (0, 0, 1, 48, "input"),
        (1, 0, 53, 46, "convolution"),
        (1, 1, 53, 23, "down"),
        (2, 1, 106, 21, "convolution"),
        (3, 1, 106, 19, "convolution"),
        (4, 1, 106, 17, "convolution"),
        (4, 0, 106, 34, "up"),
        (5, 0, 53, 32, "convolution"),
        (6, 0, 53, 30, "convolution"),
        (7, 0, 7, 30, "classes"),
    ]
    layout = layout_network(plan(NETWORK_22.net, 7))
    assert [(skip.start, skip.end) for skip in layout.skips] == [(1, 6)]
    assert tensors[6].copied == 53


def test_depth_and_differences_of_layers_are_said(tmp_path):
    net = {"n_stacks": 1, "n_convlayers": 1, "spatial_mode": "3d", "input_size": 40, "input_depth": 20}
    layer = {"kernel_width": 2, "norm": 1, "activation": 1, "dropout_rate": 0.2}
    genome = Genome(
        "3d",
        {"net": net, "net/decode/stack1/layer0": layer, "net/decode/stack1/layer0/edge0": {"pooling": 1}},
    )
    write_figure(draw_network(genome, 2), tmp_path / "network.svg")
    texts = svg_texts(tmp_path / "network.svg")
    assert "3 × 3 × 3 convolution, ReLU" in texts
    assert "5 × 5 × 5 convolution, batch normalisation, leaky ReLU, dropout" in texts
    assert "conv 2 × 2 × 2" in texts
    assert "20 × 40 × 40 → 8 × 28 × 28" in texts


def test_a_picture_has_the_same_bytes_twice(tmp_path):
    for ending in ("svg", "png"):
        for index in (0, 1):
            write_figure(draw_network(NETWORK_22, 7), tmp_path / f"{index}.{ending}")
        assert (tmp_path / f"0.{ending}").read_bytes() == (tmp_path / f"1.{ending}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "0.svg").read_bytes()


@pytest.mark.parametrize(
    "drawn", [draw_genes(NETWORK_22), draw_network(NETWORK_22, 7)], ids=["genes", "network"]
)
def test_a_png_is_a_white_page_with_something_on_it(tmp_path, drawn):
    write_figure(drawn, tmp_path / "x.png")
    pixels = imread(tmp_path / "x.png")
    assert pixels.shape[1] > pixels.shape[0] > 400
    assert pixels.shape[1] < 2400
    assert np.all(pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 1)
    assert 0.02 < np.mean(pixels[..., :3].min(axis=-1) < 0.95) < 0.5


def test_lines_are_filled_like_words():
    assert flow([30, 30, 50, 10], limit=75, gap=10) == [(0, 0), (40, 0), (0, 1), (60, 1)]
    assert flow([200], limit=75) == [(0, 0)]


@pytest.mark.parametrize("file", ["x.pdf", "x", "x.svg.gz"])
def test_other_endings_are_refused(tmp_path, file):
    with pytest.raises(InputError, match=r"x.*: pictures are written as \.svg or \.png"):
        write_figure(draw_genes(NETWORK_22), tmp_path / file)
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_the_command_writes_both_pictures_beside_you_or_those_you_name(tmp_path):
    NETWORK_22.write(tmp_path / "g.json")
    done = runs.run(runs.genenet("draw", "g.json", "--classes", 7), cwd=tmp_path)
    assert done.stdout.split() == ["g.genes.svg", "g.network.svg"], done.stderr
    assert "352,510 parameters" in svg_texts(tmp_path / "g.network.svg")
    done = runs.run(runs.genenet("draw", "g.json", "--genes", "new/x.PNG"), cwd=tmp_path)
    assert done.stdout.split() == ["new/x.PNG"], done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "g.genes.svg",
        "g.json",
        "g.network.svg",
        "new",
    ]


@pytest.mark.process
def test_the_command_says_on_one_line_what_is_wrong(tmp_path):
    NETWORK_22.write(tmp_path / "g.json")
    done = runs.run(runs.genenet("draw", "g.json", "--genes", "a.svg", "--network", "b.pdf"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "genenet: error: b.pdf: pictures are written as .svg or .png, not as .pdf\n"
    Genome("x", {"net": {"n_stacks": 4, "input_size": 64}}).write(tmp_path / "small.json")
    done = runs.run(runs.genenet("draw", "small.json"), cwd=tmp_path)
    assert done.stderr.startswith("genenet: error: small.json: net: input_size 64 is too small")
    assert not list(tmp_path.glob("*.svg"))


def operations_of(**net):
    genome = Genome("g", {"net": {"n_convkernels": 4, "input_size": 60, "n_stacks": 0, **net}})
    return [tensor.operation for tensor in layout_network(plan(genome.net, 3)).tensors if tensor.operation]


def test_the_legend_says_what_is_special_about_a_convolution():
    assert operations_of(residual=1, dilation=3, norm=1, n_convlayers=1) == [
        "3 × 3 convolution, dilation 3, batch normalisation, residual, ReLU"
    ]
    assert operations_of(window_pooling=1, kernel_width=4, n_convlayers=2)[-1] == (
        "4 × 4 convolution, 2 × 2 maximum before it, dilation 1, ReLU"
    )


def test_a_network_without_poolings_and_with_residuals():
    genome = Genome("flat", {"net": {"n_stacks": 0, "input_size": 30, "residual": 1}})
    layout = layout_network(plan(genome.net, 3))
    assert [tensor.source for tensor in layout.tensors] == ["input", "convolution", "convolution", "classes"]
    assert not layout.skips
    for figure in (draw_genes(genome), draw_network(genome, 3)):
        check_legible(figure)
    assert "residual" in [text.get_text() for text in draw_genes(genome).axes[0].texts]


DOCS = Path(__file__).parents[3] / "docs"
IN_DOCS = {genome.name: genome for genome, *_ in PUBLISHED if genome.name in ("1", "22")}


@pytest.mark.parametrize("name", IN_DOCS)
@pytest.mark.parametrize("what", ["genes", "network"])
def test_the_pictures_of_the_documentation_are_what_is_drawn_now(tmp_path, name, what):
    """If not, docs/drawing.md has the command. Other releases of matplotlib may write other bytes."""
    genome = read_genome(DOCS / f"network_{name}.json")
    assert genome.id == IN_DOCS[name].id
    write_figure(draw_genes(genome) if what == "genes" else draw_network(genome, 7), tmp_path / "x.svg")
    kept = DOCS / "images" / f"network_{name}.{what}.svg"
    assert svg_texts(kept) == svg_texts(tmp_path / "x.svg")
    assert kept.stat().st_size < 150_000


def test_the_genome_in_the_explanation_is_the_file_beside_it():
    blocks = re.findall(r"```json\n(.*?)```", (DOCS / "method.md").read_text(), flags=re.DOTALL)
    assert [genome_from_json(json.loads(block)).id for block in blocks] == [IN_DOCS["1"].id]


def test_the_explanation_has_all_hyperparameters():
    named = set(re.findall(r"`(\w+)`", (DOCS / "method.md").read_text()))
    assert set(HYPERPARAMETERS) <= named
