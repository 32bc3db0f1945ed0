"""Where the numbers of a report come from: versions, hardware, container, checksums; and their cost."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from genenet.core.atomic_files import optional_json, read_json
from genenet.core.choices import many
from genenet.core.contents import file_checksum
from genenet.core.version import build
from genenet.training.prepared import open_prepared

if TYPE_CHECKING:
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.description import MemberEntry
    from genenet.training.outcomes import Outcome


def provenance(paths: ResultPaths, runs: Sequence[Outcome], members: Sequence[MemberEntry]) -> dict[str, str]:
    """Return the section about provenance, as texts by title."""
    settings = optional_json(paths.settings("train")) or optional_json(paths.settings("generate")) or {}
    statuses = Counter(run.status for run in runs)
    n_baselines = sum(run.kind == "baseline" for run in runs)
    found = {
        "genenet": build(),
        "Commit": commit(),
        "Seed": str(settings.get("seed", "unknown")),
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Trainings": f"{len(runs) - n_baselines} networks, {n_baselines} baseline{'s' * (n_baselines != 1)}",
        "Start": _start(runs),
        "Status": ", ".join(f"{n} {status}" for status, n in statuses.most_common()),
        **_surroundings(runs),
        "Data": "; ".join(_checksums(paths)),
        "Members": ", ".join(f"{m.run} (genome {m.genome})" for m in members),
        "Results": str(paths.results.resolve()),
    }
    return {name: text for name, text in found.items() if text}


def _start(runs: Sequence[Outcome]) -> str:
    """Return how many trainings began with the weights of another search, and how; an empty text if none did."""
    found = [run.scores.inherited for run in runs if run.scores and run.scores.inherited]
    started = [each for each in found if each.start]
    if not started:
        return ""
    folders = ", ".join(sorted({str(each.start) for each in started}))
    n_new = sum(each.new_head for each in started)
    heads = f"; the last layer of {n_new} began with random weights, since there the classes are others"
    return f"{len(started)} of {many(len(runs), 'training')} began with weights of {folders}{heads if n_new else ''}"


def devices(runs: Sequence[Outcome]) -> str:
    """Return the names of the devices that the trainings ran on."""
    return _surroundings(runs)["Device"]


def _surroundings(runs: Sequence[Outcome]) -> dict[str, str]:
    """Return versions, devices and containers of the trainings; if trainings differ, all of them."""
    made = [run.scores.made_with for run in runs if run.scores and run.scores.made_with]
    names = {
        "genenet": "Trained by genenet",
        "torch": "torch",
        "numpy": "numpy",
        "python": "Python",
        "device": "Device",
    }
    found = {title: ", ".join(sorted({getattr(m, name) for m in made})) for name, title in names.items()}
    found["Arithmetic"] = "; ".join(sorted({m.arithmetic for m in made if m.arithmetic}))
    images = sorted({m.container for m in made if m.container})
    commits = sorted({m.container_commit for m in made if m.container_commit})
    found["Container"] = "; ".join(_container(image) for image in images)
    found["Container's commit"] = ", ".join(commits)
    return found


def _container(image: str) -> str:
    path = Path(image)
    if not path.is_file():
        return f"{image} (file is missing)"
    return f"{image}, SHA-256 {file_checksum(path)}"


def _checksums(paths: ResultPaths) -> list[str]:
    splits = [(split, Path(paths.data(split))) for split in ("train", "validation", "test")]
    return [f"{split} {open_prepared(path).checksum[:16]}" for split, path in splits if path.exists()]


def settings_of(paths: ResultPaths) -> list[tuple[str, str]]:
    """Return the content of the settings files of all stages, by name."""
    folder = Path(paths.settings("x")).parent
    return [(path.stem, json.dumps(read_json(path), indent=1)) for path in sorted(folder.glob("*.json"))]


def _iterations(runs: Sequence[Outcome]) -> list[str]:
    """Return the numbers of iterations of networks and baselines, as texts."""
    kinds = {"of the networks": False, "of the baselines": True}
    sums = {
        name: sum(
            (run.iterations or 0) * len(run.trainings)
            for run in runs
            if (run.kind == "baseline") == is_baseline
        )
        for name, is_baseline in kinds.items()
    }
    return [f"{n:,} {name}" for name, n in sums.items() if n]


def cost(runs: Sequence[Outcome], controls: Sequence[Outcome] = ()) -> dict[str, str]:
    """Return the section about cost, as texts by title; the trainings of controls are counted apart."""
    costs = [each for run in runs for each in run.costs]  # with folds, one for each of them
    hours = [each.job_seconds / 3600 for each in costs]
    n_jobs, n_killed = sum(each.n_jobs for each in costs), sum(each.n_killed for each in costs)
    if not n_jobs:
        return {}
    n_more = n_jobs - sum(each.n_jobs > 0 for each in costs)
    of_baselines = sum(run.cost.job_seconds for run in runs if run.kind == "baseline") / 3600
    training = sum(run.seconds or 0 for run in runs) / 3600
    of_controls = sum(run.cost.job_seconds for run in controls) / 3600
    beside = (
        {"Hours of controls' jobs": f"{of_controls:.2f} in {_n_trainings(controls)} trainings"}
        if controls
        else {}
    )
    unknown = f"; the time of {n_killed} killed job{'s' * (n_killed > 1)} is unknown" if n_killed else ""
    return {
        "Hours of jobs": f"{sum(hours):.2f} in all, {of_baselines:.2f} of them for baselines; "
        f"{sum(hours) / len(costs):.3f} for a training on average, {max(hours):.3f} at most{unknown}",
        "Hours of training": f"{training:.2f}",
        "Iterations": " and ".join(_iterations(runs)),
        "Jobs": f"{n_jobs} for {len(costs)} trainings, {n_more} of them to resume or repeat a training",
        **beside,
    }


def _n_trainings(runs: Sequence[Outcome]) -> int:
    return sum(len(run.trainings) for run in runs)


def refit_cost(refits: Sequence[Outcome]) -> dict[str, str]:
    """Return what the training of the members on all labelled images took; nothing if there was none."""
    hours = sum(run.cost.job_seconds for run in refits) / 3600
    return {"Hours of refits": f"{hours:.2f} for {len(refits)}"} if refits else {}


def commit() -> str | None:
    """Return the commit of the clone that this package runs from; None if it is installed."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
