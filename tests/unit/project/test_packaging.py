"""pyproject.toml, environment.yml and constraints.txt hold together."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import genenet

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


def split(requirement):
    name, versions = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
    return name.lower(), versions


def requirements(*extras):
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return dict(split(r) for group in lists for r in group)


def test_the_conda_environment_is_the_workflow_without_torch():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(split(item) for item in listed if item != "pip")
    assert conda.pop("python") == PROJECT["requires-python"]
    wanted = {CONDA_NAMES.get(name, name): versions for name, versions in requirements("workflow").items()}
    del wanted["torch"]
    assert conda == wanted


@pytest.mark.parametrize("extra", ["workflow", "dev"])
def test_everything_is_pinned(extra):
    pins = [
        line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    ]
    canonical = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    assert {re.sub(r"[-_.]+", "-", name) for name in requirements(extra)} <= canonical


def test_the_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert genenet.__version__ == PROJECT["version"] == citation["version"]
