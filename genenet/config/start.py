"""Finds what a search starts from: the results of a finished search, or an ensemble's folder.

Only names of files, and the members' genomes, are known here; :mod:`genenet.ensembles.start` reads the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.core.atomic_files import read_json
from genenet.core.errors import InputError
from genenet.core.paths import ResultPaths, of_fold

if TYPE_CHECKING:
    from genenet.genes.genome import Genome

DESCRIPTION = "ensemble.json"
ENSEMBLES = "genenet.ensemble/"  # begins the format of an ensemble.json
READ = f"{ENSEMBLES}1"
MOST_BYTES = 2**24  # of an ensemble.json
OF_A_SEARCH = ("settings", "genomes", "runs")  # folders of results


def is_ensemble(folder: Path) -> bool:
    """Whether a folder is that of an ensemble, and not the results of a search."""
    return (folder / DESCRIPTION).exists()


def ensemble_folder(folder: Path) -> Path:
    """Return the folder of the ensemble of a finished search, or the folder itself if it is an ensemble's.

    Raises:
        InputError: If there is no such search, if it is unfinished, or if another version of genenet wrote it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the results of a finished search, or an ensemble")
    found = folder if is_ensemble(folder) else Path(ResultPaths(folder).ensemble)
    if not is_ensemble(found):
        if any((folder / name).is_dir() for name in OF_A_SEARCH):
            raise InputError(
                f"{folder}: this search is unfinished, it has no ensemble yet; start its workflow again"
            )
        raise InputError(f"{folder}: holds neither the results of a search nor an ensemble")
    _description(found)
    return found


def member_genomes(folder: Path) -> list[Genome]:
    """Return the genomes of the members of a search's ensemble, or of an ensemble, best first, each once.

    Raises:
        InputError: As ``ensemble_folder``, or if a member has no genome.
    """
    from genenet.genes.genome import read_genome  # takes a while

    ensemble = ensemble_folder(folder)
    places: dict[str, Path] = {}
    try:
        for member in _description(ensemble)["members"]:
            places.setdefault(of_fold(member["run"])[0], ensemble / member["folder"])
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{ensemble / DESCRIPTION}: its members can't be read") from None
    return [read_genome(place / "genome.json") for place in places.values()]


def start_files(folder: Path) -> list[Path]:
    """Return the files on which trainings depend that start from a folder: networks, their scores, the ensemble."""
    if is_ensemble(folder):
        return sorted([folder / DESCRIPTION, *folder.glob("members/*/*.*")])
    paths = ResultPaths(folder)
    found = [Path(paths.ensemble) / DESCRIPTION, Path(paths.ranking), *folder.glob("genomes/*/*.json")]
    found += [*folder.glob("ensemble/members/*/genome.json")]
    for name in ("model.safetensors", "scores.json"):
        found += (folder / "runs").rglob(name)
    return sorted(path for path in found if path.exists())


def _description(ensemble: Path) -> dict[str, Any]:
    path = ensemble / DESCRIPTION
    values = read_json(path, MOST_BYTES)
    known = values.get("format") if isinstance(values, dict) else None
    if known != READ and str(known).startswith(ENSEMBLES):
        raise InputError(
            f"{path}: its format, {str(known)[:40]}, is that of another version; this one reads {READ}"
        )
    if known != READ:
        raise InputError(f"{path}: not an ensemble ({READ})")
    return dict(values)
