"""Benchmarks run from a clone, also where genenet isn't installed, and each explains itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import objects
import segmentation

FOLDER = Path(__file__).parents[3] / "benchmarks"
PROGRAMS = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text())
SHARED = ("bench_tools", "bench_data")


def imported(path):
    """Return the names of the modules that are imported at the top of a file, in order."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    return names


@pytest.mark.parametrize("path", [*PROGRAMS, FOLDER / "bench_data.py"], ids=lambda path: path.stem)
def test_the_clone_is_on_the_path_before_genenet_is_imported(path):
    names = imported(path)
    shared = min((names.index(name) for name in SHARED if name in names), default=len(names))
    own = [i for i, name in enumerate(names) if name.partition(".")[0] in ("genenet", "tests")]
    assert shared < len(names)
    assert all(i > shared for i in own), f"{names[own[0]]} is imported before bench_tools"


@pytest.mark.process
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_benchmark_has_help_that_names_its_command(path, tmp_path):
    done = subprocess.run(
        [sys.executable, path, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/{path.name}" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "figure"),
    [
        ("phantom.py 2x48x48", "x the time"),
        ("space.py --genomes 5", "ratio to drawing"),
        ("search.py replay phantom --seeds 1 --only random", "| random | "),
    ],
)
def test_a_benchmark_prints_its_figures(arguments, figure):
    program, *options = arguments.split()
    done = subprocess.run(
        [sys.executable, FOLDER / program, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert figure in done.stdout


def test_the_receipts_of_a_segmentation_hold_what_is_measured(tmp_path):
    segmentation.inputs(tmp_path, (1, 60, 60), [{**segmentation.NET, "n_convkernels": 2}])
    receipts = []
    assert segmentation.end_to_end(tmp_path, receipts) > 0
    assert receipts[0].voxels_computed_for_each >= 1


def test_post_processing_is_measured_on_a_store_with_specks(tmp_path):
    path = objects.make_store((2, 64, 64), tmp_path)
    assert objects.skimage_label(path).max() > 2
    objects.genenet_26(path)
    assert (path / "labels/objects").is_dir()
