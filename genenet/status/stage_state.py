"""How far the stages before and after the trainings are, told from their files. No zarr."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genenet.core.logs import ERROR
from genenet.core.paths import ResultPaths, part_name
from genenet.core.tolerant_read import as_count, as_number, glimpse, names_in, written
from genenet.status.run_state import LOG_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genenet.config.model import Config
    from genenet.status.run_state import RunState

Progress = Literal["done", "started", "waiting", "error"]
MOST_BLOCKS = 20_000  # that are counted; more take too long on a file system of a cluster
LABELS = "labels/segmentation/0"  # in a store; genenet.volumes.ome_zarr


@dataclass(frozen=True)
class StageState:
    """A stage: ``text`` says how far it is, what came of it, or what is wrong."""

    name: str
    state: Progress
    text: str = ""
    log: str | None = None  # of a stage that has started, or where the error stands
    silent_seconds: float | None = (
        None  # since a stage that has started wrote to its log; a dead one looks the same
    )


def preparation(config: Config, paths: ResultPaths) -> StageState:
    """Return how far the labelled images are."""
    splits = ["train", "validation"] + ["test"] * bool(config.data.test)
    missing = [split for split in splits if written(paths.data(split)) is None]
    if not missing:
        return StageState("images", "done")
    states = [_by_log(f"{paths.results}/logs/prepare/{split}.log", 0.0) for split in missing]
    return _worst("images", states, f"{', '.join(missing)} not prepared yet")


def later_stages(config: Config, paths: ResultPaths, runs: Sequence[RunState]) -> list[StageState]:
    """Return how far selection, test, each volume and the report are."""
    chosen = _selection(paths, runs)
    since = written(f"{paths.ensemble}/ensemble.json") if chosen.state == "done" else None
    stages = [chosen]
    if config.data.test:
        stages.append(_file("test images", paths.test_scores, "logs/test.log", since, paths))
    stages += [_volume(config, paths, name, since) for name in config.data.volumes]
    everything = since if all(stage.state == "done" for stage in stages) else None
    tiffs = [written(paths.tiff(name)) or 0.0 for name in config.data.volumes]
    newest = None if everything is None else max([everything, *tiffs])
    return [*stages, _file("report", paths.report, "logs/report.log", newest, paths)]


def _selection(paths: ResultPaths, runs: Sequence[RunState]) -> StageState:
    left = sum(not run.is_over for run in runs)
    since = max([run.time for run in runs if run.time] + [written(paths.settings("select")) or 0.0])
    chosen, made = glimpse(f"{paths.ensemble}/ensemble.json"), written(paths.ranking)
    text = _members(chosen.json()) if chosen else ""
    if text and made is not None and made >= since and not left:
        return StageState("selection", "done", text)
    old = f"; there is one of earlier results: {text}" if text else ""
    if left:
        return StageState("selection", "waiting", f"for {many(left, 'training')}{old}")
    return _worst("selection", [_by_log(f"{paths.results}/logs/select.log", since)], old[2:])


def _members(ensemble: dict[str, Any]) -> str:
    """Return the ensemble's size and score, or an empty text if it can't be read."""
    members, scores = ensemble.get("members"), ensemble.get("validation")
    if not isinstance(members, list):
        return ""
    ari = as_number(scores.get("ari")) if isinstance(scores, dict) else None
    return many(len(members), "network") + (f", ARI {ari:.3f}" if ari is not None else "")


def _volume(config: Config, paths: ResultPaths, name: str, since: float | None) -> StageState:
    """Return how far a volume is: parts, blocks, and the files after them."""
    title, n_jobs = f"volume {name}", config.segmentation.jobs
    if since is None:
        return StageState(title, "waiting", "for the ensemble")
    since = max(since, written(paths.settings(f"segment_{name}")) or 0.0)
    times = {part_name(i, n_jobs): 0.0 for i in range(1, n_jobs + 1)}
    for part in times.keys() & {Path(file).stem for file in names_in(Path(paths.receipt(name, "x")).parent)}:
        times[part] = written(paths.receipt(name, part)) or 0.0
    missing = [part for part in sorted(times) if times[part] < since]
    if missing:
        blocks = _blocks(Path(paths.store(name)) / LABELS, since)
        text = f"{n_jobs - len(missing)} of {many(n_jobs, 'part')}" + (f", {blocks}" if blocks else "")
        folder = f"{paths.results}/logs/segment/{name}"
        logs = {f"{part}.log" for part in missing}.intersection(names_in(folder))
        state = _worst(title, (_by_log(f"{folder}/{log}", since) for log in sorted(logs)), text)
        has_begun = state.state == "waiting" and len(missing) < n_jobs
        return replace(state, state="started") if has_begun else state
    since, wanted = max(times.values()), config.segmentation.postprocessing.is_wanted
    if wanted and (written(paths.postprocessing(name)) or 0.0) < since:
        return _worst(title, [_by_log(_log(paths, "postprocess", name), since)], "segmented; post-processing")
    if (written(paths.tiff(name)) or 0.0) < since:
        return _worst(title, [_by_log(_log(paths, "export", name), since)], "segmented; export")
    return StageState(title, "done", paths.tiff(name))


def _log(paths: ResultPaths, rule: str, volume: str) -> str:
    return f"{paths.results}/logs/{rule}/{volume}.log"


def _blocks(array: Path, since: float) -> str:
    """Count a store's blocks; nothing if it isn't there, is of an earlier ensemble, or is very large."""
    seen = glimpse(array / "zarr.json")
    if seen is None or seen.time < since:
        return ""
    grid = seen.json().get("chunk_grid")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    shards = configuration.get("chunk_shape") if isinstance(configuration, dict) else None
    sizes = [
        [as_count(n) for n in axes] for axes in (seen.json().get("shape"), shards) if isinstance(axes, list)
    ]
    if len(sizes) != 2 or not all(size for axes in sizes for size in axes):
        return ""
    n_blocks = math.prod(-(-(size or 1) // (shard or 1)) for size, shard in zip(*sizes, strict=False))
    if n_blocks > MOST_BLOCKS:
        return ""
    chunks = array / "c"
    planes = (chunks / z / y for z in names_in(chunks) for y in names_in(chunks / z))
    done = sum(name.isdigit() for plane in planes for name in names_in(plane))
    return f"{done} of {many(n_blocks, 'block')}"


def _file(name: str, path: str, log: str, since: float | None, paths: ResultPaths) -> StageState:
    """Return how far a stage is that makes one file from files no newer than ``since``; None: not all are there."""
    made = written(path)
    if since is None:
        return StageState(name, "waiting", "there is one of earlier results" if made is not None else "")
    if made is not None and made >= since:
        return StageState(name, "done", path)
    return _worst(name, [_by_log(f"{paths.results}/{log}", since)], "")


def _by_log(log: str, since: float) -> StageState:
    """Return what a job's log says, if it was written to since then."""
    seen = glimpse(log, LOG_BYTES)
    if seen is None or seen.time < since:
        return StageState("", "waiting")
    last = seen.lines[-1] if seen.lines else ""
    if last.startswith(ERROR):
        return StageState("", "error", last.removeprefix(ERROR), log)
    return StageState("", "started", "", log, max(0.0, time.time() - seen.time))


def _worst(name: str, states: Iterable[StageState], text: str) -> StageState:
    """Return the state of a stage of several jobs: an error, if one has any; else whether one has started."""
    found = list(states)
    for state in ("error", "started"):
        for each in found:
            if each.state == state:
                return replace(each, name=name, text=each.text or text)
    return StageState(name, "waiting", text)


def many(number: int, thing: str) -> str:
    """Return ``1 part`` or ``2 parts``."""
    return f"{number} {thing}{'s' * (number != 1)}"
