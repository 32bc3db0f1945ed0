"""The arithmetic of docs/scale.md is the program's."""

import math
import re
from pathlib import Path

import pytest

from genenet.config.rounds import rounds
from genenet.config.search import Search
from genenet.volumes.pyramid import levels
from genenet.volumes.store_pyramid import build_pyramid
from tests.support.ensembles import job, write_ensemble, write_image

TEXT = (Path(__file__).parents[3] / "docs/scale.md").read_text()
SHAPE, NM = (2500, 20000, 20000), (40.0, 10.0, 10.0)


def n_blocks(shape, block):
    return math.prod(-(-n // b) for n, b in zip(shape, block, strict=True))


def n_files(shape, nm, block, min_size=256):
    """Files of labels and channels: of the image itself, and of the smaller levels."""
    counts = []
    for level in levels(shape, nm, min_size):
        shards = (min(block[0], level.shape[0]), *block[1:])
        counts.append(2 * n_blocks(level.shape, shards))
    return counts[0], sum(counts[1:])


def test_files_are_counted_as_they_are_written(tmp_path):
    write_ensemble(tmp_path / "ensemble")
    image = write_image(tmp_path)
    job(tmp_path, probabilities=False).run()
    build_pyramid(tmp_path / "a.ome.zarr", 32)
    files = [p for p in (tmp_path / "a.ome.zarr").rglob("*") if p.is_file() and p.name.isdigit()]
    first = [p for p in files if _level(p) == "0"]
    assert (len(first), len(files) - len(first)) == n_files(image.shape, NM, (2, 32, 64), 32)


def _level(path):
    """The name of the array that a shard is of."""
    return path.parts[path.parts.index("c") - 1]


@pytest.mark.parametrize(("block", "column"), [((16, 1280, 1280), 1), ((32, 2560, 2560), 2)])
def test_blocks_and_files_of_a_million_million_voxels(block, column):
    rows = {
        line.split("|")[1].strip(): line.split("|") for line in TEXT.splitlines() if line.startswith("| ")
    }
    cells = {
        name: cells[column + 1].strip().rpartition(" = ")[2] for name, cells in rows.items() if len(cells) > 3
    }
    own, smaller = n_files(SHAPE, NM, block)
    assert math.prod(SHAPE) == 10**12
    assert cells["blocks"] == f"{n_blocks(SHAPE, block):,}".replace(",", " ")
    assert cells["files of labels and channels, two for each block"] == f"{own:,}".replace(",", " ")
    assert cells["files of the pyramid's smaller levels"] == f"{smaller:,}".replace(",", " ")
    assert cells["raw voxels of a block"] == f"{math.prod(block) / 1e6:.0f} MB"


def test_what_halving_ten_thousand_takes():
    search = Search(strategy="halving", n_genomes=10_000, halving={"eta": 3, "rungs": 5})
    (only,) = rounds(search, 81_000, 1000)
    spent, before = 0, 0
    for rung in only.rungs:
        spent += rung.n_slots * (rung.iterations - before)
        before = rung.iterations
    (paragraph,) = (text for text in TEXT.split("\n\n") if "strategy: halving" in text and "eta: 3" in text)
    numbers = re.findall(r"\d+", paragraph.replace("10 000", "10000"))
    assert {"10000", str(only.rungs[-1].n_slots), f"{spent / 81_000:.0f}"} <= set(numbers)
