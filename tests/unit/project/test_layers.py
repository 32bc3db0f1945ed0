"""Which packages import torch, which takes seconds; ruff's TID253 and import-linter say the rest."""

import ast
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import genenet
from tests.support.search import ROOT

WITHOUT_TORCH = [
    "core",
    "genes",
    "phantoms",
    "config",
    "objects",
    "metrics",
    "volumes",
    "status",
    "cluster",
    "search",
    "report",
]
LIST_MODULES = """
import importlib, pkgutil, sys
package = importlib.import_module("genenet.{package}")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
assert "torch" not in sys.modules
"""


@pytest.mark.process
@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_a_package_imports_no_torch(package):
    subprocess.run([sys.executable, "-c", LIST_MODULES.format(package=package)], check=True)


def test_no_two_classes_share_a_name():
    places = {}
    for path in sorted(Path(genenet.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_the_contract_names_every_package():
    """Lint-imports checks their order."""
    found = {module.name for module in pkgutil.iter_modules(genenet.__path__) if module.ispkg}
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert found == set(contract["layers"])
