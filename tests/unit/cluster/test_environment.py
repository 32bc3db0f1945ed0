"""What jobs inherit from their launcher, and which Snakemake is too old."""

import os
from pathlib import Path

import pytest

from genenet.cluster import environment
from genenet.core.errors import InputError


@pytest.mark.parametrize(
    ("version", "too_old"),
    [
        ("9.17.3", True),
        ("9.26.0", True),
        ("9.26.1", False),
        ("9.27.1", False),
        ("10.0.0.dev1", False),
        ("8.30", True),
    ],
)
def test_an_old_snakemake_is_refused_with_the_reason(version, too_old):
    assert environment.is_too_old(version) == too_old
    if too_old:
        with pytest.raises(
            InputError, match=rf"^Snakemake {version} is too old \(.*runtime.*pip install 'snakemake>="
        ):
            environment.check_snakemake(version)
    else:
        environment.check_snakemake(version)


def test_pip_and_conda_ask_for_the_same_snakemake():
    root = Path(__file__).parents[3]
    for file in ("pyproject.toml", "environment.yml"):
        assert f"snakemake>={environment.SNAKEMAKE},<10" in (root / file).read_text()


def test_jobs_find_our_commands_and_no_module_of_the_users_folder(monkeypatch, tmp_path):
    for name in ("PYTHONSAFEPATH", "XDG_CACHE_HOME", "PATH", "GENENET_LAUNCHER"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back afterwards
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.chdir(tmp_path)
    environment.set_up_jobs()
    assert os.environ["PATH"].startswith(str(Path(environment.sys.executable).parent))
    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / ".snakemake/cache")
    assert "source" in os.environ["GENENET_LAUNCHER"]


def test_a_home_that_cant_hold_snakemakes_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for home, problem in ((tmp_path, False), ("/proc", True), ("/proc/none", True)):
        monkeypatch.setenv("HOME", str(home))
        assert bool(environment.home_problem()) == problem
        assert not problem or "isn't writable" in environment.home_problem()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not environment.home_problem()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    assert not environment.home_problem()
