"""Names that shells and Snakemake could misread: folders of results, and images."""

import os
import re
import shlex
import shutil

import pytest

from tests.support.search import Search

NAMES = ["~/x", "$HOME/x", "J&J", "run(1)", "o'brien", "a;b", "-results", 'say"x"', "x*[1]", "`date`"]


def shell_lines(search):
    """Return the shell line of every job that a dry run plans, as a list of words."""
    output = search.snakemake("--dry-run", "--printshellcmds", "--quiet", "host")
    lines = re.findall(r"^ *Shell command: *(genenet .*)$", output, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_every_word_of_every_shell_line_is_quoted(tmp_path, name):
    search = Search(tmp_path, "tiny.yaml")
    search.add("name.yaml", f"results: {quoted(name)}")
    lines = shell_lines(search)
    commands = {words[1] for words in lines}
    assert {"settings", "generate", "prepare", "phantom", "train", "select", "segment", "export"} <= commands
    assert {"evaluate", "report"} <= commands
    for words in lines:
        assert words[0] == "genenet"
        values = [word.rpartition("=")[2] for word in words]  # of --instances=cell=FILE, FILE
        paths = [v for v in values if v.endswith((".json", ".tif", ".zip", ".log", ".zarr", ".html"))]
        assert paths
        assert all(path.startswith(f"{name}/") for path in paths if not path.startswith("{")), words


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def test_a_search_whose_folder_has_every_odd_character(tmp_path):
    name = "-r~/$HOME/J&J/run(1)/o'brien/a;b"
    search = Search(tmp_path, "tiny.yaml")
    more = "segmentation: {postprocessing: {min_size_voxels: 20, objects: [mitochondrion]}}"
    search.add("name.yaml", f"results: {quoted(name)}\nsearch: {{n_genomes: 2}}\n{more}")
    output = search.snakemake()
    results = tmp_path / name
    assert (results / "report.html").exists()
    assert (results / "segmentations/demo.objects.csv").exists()
    assert f"report        {name}/report.html" in output
    assert not (tmp_path / "results").exists()
    assert {p.name for p in tmp_path.iterdir()} <= {"tiny.yaml", "name.yaml", ".snakemake", "-r~"}


def test_an_image_with_braces_in_its_name(tmp_path):
    search = Search(tmp_path, "tiny.yaml")
    search.snakemake("results/phantoms/2x128x128-seed1/image.tif")
    shutil.copytree(tmp_path / "results/phantoms/2x128x128-seed1", tmp_path / "em")
    os.rename(tmp_path / "em/image.tif", tmp_path / "em/em_{3F2504E0}.tif")
    os.rename(tmp_path / "em/labels.tif", tmp_path / "em/{split}.tif")
    own = "{path: 'em/em_{3F2504E0}.tif', labels: 'em/{split}.tif'}"
    search.add("own.yaml", f"data: {{train: [{own}]}}")
    search.snakemake("results/data/train.zarr.zip")
    assert search.snakemake("results/data/train.zarr.zip", "--dry-run").count("Nothing to be done") == 1
    with open(tmp_path / "em/{split}.tif", "ab") as file:
        file.write(b"0")  # another content: a newer time alone is no reason to prepare small files again
    assert "prepare" in search.snakemake("results/data/train.zarr.zip", "--dry-run")
