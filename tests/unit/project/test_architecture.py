"""The files and names that docs/architecture.md mentions exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text()
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATH = r"[\w/.-]+\.(py|smk|md|toml|json|j2|yaml)(:[\w.]+)?"
NAMED = [span for span in SPANS if re.fullmatch(PATH, span) and "/" in span]
FOLDERS = [span for span in SPANS if span.endswith("/")]
IN_RESULTS = ("settings/", "runs/", "ensemble/")  # files of a search


def place(path):
    """Return the file, which is named from the root or from the package."""
    return next((folder / path for folder in (ROOT, ROOT / "genenet") if (folder / path).exists()), None)


def defined(path):
    """Return the qualified names of all classes, functions and constants of a Python file."""
    names = set()

    def collect(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    collect(node.body, f"{prefix}{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    collect(ast.parse(path.read_text()).body, "")
    return names


def test_the_page_names_many_places():
    assert len(NAMED) > 60
    assert len(FOLDERS) >= 5


@pytest.mark.parametrize("span", [s for s in NAMED if not s.startswith(IN_RESULTS)])
def test_files_and_names_exist(span):
    path, _, name = span.partition(":")
    file = place(path)
    assert file, f"{path}: no such file"
    assert not name or name in defined(file), f"{path} has no {name}"


@pytest.mark.parametrize("span", [s for s in FOLDERS if not s.startswith(IN_RESULTS)])
def test_folders_exist(span):
    assert place(span), f"{span}: no such folder"


def test_the_packages_are_those_of_the_contract_in_its_order():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    table = re.search(r"^\| package .*?\n\n", PAGE, re.M | re.S)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == layers


def test_every_usual_change_has_a_row():
    rows = re.findall(r"^\| ((?:an?|the) [^|]+?) \| ", PAGE.partition("## You want to")[2], re.M)
    assert len(rows) == len(set(rows)) == 17
