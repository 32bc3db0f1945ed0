"""The progress of the stages before and after the trainings, read from their files, without zarr."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genenet.config import planned_runs
from genenet.config.planned_controls import controls
from genenet.config.selection_metrics import RANKING_METRIC, SCORES, SELECTION_METRICS
from genenet.core.choices import many
from genenet.core.logs import ERROR
from genenet.core.paths import ResultPaths, of_fold, part_name
from genenet.core.tolerant_read import as_number, names_in, try_read, written
from genenet.search.retry import given_up_part
from genenet.status.refits import is_received, selected_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.controls import Control
    from genenet.config.model import Config
    from genenet.search.retry import GivenUp
    from genenet.training.outcomes import Outcome

LOG_BYTES = 4096  # of a log's end that are read
MOST_BLOCKS = 20_000  # that are counted; more take too long on the file system of a cluster
LABELS = "labels/segmentation/0"  # in a store; genenet.volumes.ome_zarr


@dataclass(frozen=True)
class StageState:
    """A stage: ``text`` gives its progress, its result, or its error.

    ``log`` is that of a stage that has started or failed; ``silent_seconds`` is how long ago a stage that has started
    wrote to its log. A stage that was killed looks the same.
    """

    name: str
    state: Literal["done", "started", "waiting", "error"]
    text: str = ""
    log: str | None = None
    silent_seconds: float | None = None


def read_stages(
    config: Config, paths: ResultPaths, runs: Sequence[Outcome], refits: Sequence[Outcome] = ()
) -> list[StageState]:
    """Return the progress of images, selection, refit, test, each volume and the report."""
    logs = f"{paths.results}/logs"
    later = [_selection(paths, [run for run in runs if not run.is_control], selected_folder(config, paths))]
    if config.ensemble.refit:
        later.append(_refit(paths, later[0], refits))
    since = written(f"{paths.ensemble}/ensemble.json") if later[-1].state == "done" else None
    if config.data.test:
        later.append(_file("test images", paths.test_scores, f"{logs}/test.log", since))
    later += [_volume(config, paths, name, since) for name in config.data.volumes]
    later += [_control(paths, each, runs, since) for each in controls(config)]
    newest = None
    if since is not None and all(stage.state == "done" for stage in later):
        made = [paths.tiff(name) for name in config.data.volumes]
        made += [paths.control(each.name) for each in controls(config)]
        newest = max([since, *(written(path) or 0.0 for path in made)])
    return [_images(config, paths), *later, _file("report", paths.report, f"{logs}/report.log", newest)]


def _images(config: Config, paths: ResultPaths) -> StageState:
    splits = ["train", "validation"] + ["test"] * bool(config.data.test)
    splits += [
        f"folds/{fold}/{split}" for fold in planned_runs.folds(config) for split in ("train", "validation")
    ]
    missing = [split for split in splits if written(paths.data(split)) is None]
    if not missing:
        return StageState("images", "done")
    logs = [f"{paths.results}/logs/prepare/{split}.log" for split in missing]
    return _by_logs("images", logs, 0.0, f"{', '.join(missing)} not prepared yet")


def _selection(paths: ResultPaths, runs: Sequence[Outcome], folder: str) -> StageState:
    left = sum(not run.is_over for run in runs)
    since = max([run.published for run in runs if run.published] + [written(paths.settings("select")) or 0.0])
    made, text = written(paths.ranking), _members(folder)
    if text and made is not None and made >= since and not left:
        return StageState("selection", "done", text)
    old = f"there is one of earlier results: {text}" if text else ""
    if left:
        return StageState(
            "selection", "waiting", "; ".join(filter(None, (f"for {many(left, 'training')}", old)))
        )
    return _by_logs("selection", [f"{paths.results}/logs/select.log"], since, old)


def _control(
    paths: ResultPaths, control: Control, runs: Sequence[Outcome], since: float | None
) -> StageState:
    """Return the progress of a control: its trainings, and then its scores."""
    name, own = f"control {control.name}", [run for run in runs if of_fold(run.run)[0] in control.runs]
    if left := sum(not run.is_over for run in own):
        return StageState(name, "waiting", f"for {many(left, 'training')}")
    if since is None:
        return StageState(name, "waiting", "for the ranking")
    newest = max(
        [written(paths.settings(f"control_{control.name}")) or 0.0, *(r.published or 0.0 for r in own)]
    )
    log = f"{paths.results}/logs/controls/{control.name}.log"
    return _file(name, paths.control(control.name), log, newest)


def _refit(paths: ResultPaths, selection: StageState, refits: Sequence[Outcome]) -> StageState:
    """Return the progress of the members' training on all images."""
    since = written(f"{paths.selected}/ensemble.json")
    if selection.state != "done" or since is None:
        return StageState("refit", "waiting", "for the selection")
    logs = f"{paths.results}/logs"
    missing = [run for run in refits if not is_received(paths, run.run, since)]
    text = f"{len(refits) - len(missing)} of {many(len(refits), 'member')}"
    failed = [f"{run.run} {run.status}: {run.reason}" for run in refits if run.phase == "failed"]
    if failed:
        text += f"; {'; '.join(failed)}; once the cause is removed: genenet retry {paths.results}, then start again"
    if missing:
        return _by_logs("refit", [paths.train_log(run.run) for run in missing], since, text)
    if (written(paths.refits) or 0.0) < since:
        return _by_logs("refit", [f"{logs}/refit_ensemble.log"], since, text)
    return StageState("refit", "done", text)


def _members(folder: str) -> str:
    """Return the ensemble's size and score; an empty text if there is none."""
    seen = try_read(f"{folder}/ensemble.json")
    members, scores = (seen.json().get(key) if seen else None for key in ("members", "validation"))
    if not isinstance(members, list):
        return ""
    named = str(seen.json().get("metric")) if seen else ""
    metric = SELECTION_METRICS.get(named, SELECTION_METRICS[RANKING_METRIC])
    known = {name: as_number(scores.get(name)) for name in SCORES} if isinstance(scores, dict) else {}
    score = metric.of_scores(known)
    return many(len(members), "network") + (f", {metric.title} {score:.3f}" if score is not None else "")


def _volume(config: Config, paths: ResultPaths, name: str, since: float | None) -> StageState:
    """Return the progress of a volume: its parts and blocks, and the files made from them."""
    title, n_jobs, logs = f"volume {name}", config.segmentation.jobs, f"{paths.results}/logs"
    if since is None:
        return StageState(title, "waiting", "for the ensemble")
    since = max(since, written(paths.settings(f"segment_{name}")) or 0.0)
    times = {
        p: written(paths.receipt(name, p)) or 0.0
        for p in (part_name(i, n_jobs) for i in range(1, n_jobs + 1))
    }
    missing = [part for part, time_ in times.items() if time_ < since]
    receipts = (Path(paths.receipt(name, part)) for part in times if part not in missing)
    given_up = [part for receipt in receipts if (part := given_up_part(receipt))]
    if missing or given_up:
        parts = f"{n_jobs - len(missing) - len(given_up)} of {many(n_jobs, 'part')}"
        text = ", ".join(filter(None, (parts, _blocks(Path(paths.store(name)) / LABELS, since))))
        if given_up:
            return _given_up(title, text, given_up, paths)
        state = _by_logs(title, [f"{logs}/segment/{name}/{part}.log" for part in missing], since, text)
        has_begun = state.state == "waiting" and len(missing) < n_jobs
        return replace(state, state="started") if has_begun else state
    since = max(times.values())
    if config.segmentation.postprocessing.is_wanted and (written(paths.postprocessing(name)) or 0.0) < since:
        return _by_logs(title, [f"{logs}/postprocess/{name}.log"], since, "segmented; post-processing")
    if config.data.objects and (written(paths.instances(name)) or 0.0) < since:
        return _by_logs(title, [f"{logs}/instances/{name}.log"], since, "segmented; objects")
    if (written(paths.tiff(name)) or 0.0) < since:
        return _by_logs(title, [f"{logs}/export/{name}.log"], since, "segmented; export")
    return StageState(title, "done", paths.tiff(name))


def _given_up(title: str, progress: str, parts: Sequence[GivenUp], paths: ResultPaths) -> StageState:
    first, n_more, receipt = parts[0], len(parts) - 1, parts[0].files[0]
    text = (
        f"{progress}; part {receipt.stem}{f' and {n_more} more' * bool(n_more)} given up "
        f"({first.status}): {first.reason}; once the cause is removed: genenet retry {paths.results}, "
        "then start again"
    )
    return StageState(
        title, "error", text, f"{paths.results}/logs/segment/{receipt.parents[1].name}/{receipt.stem}.log"
    )


def _blocks(array: Path, since: float) -> str:
    """Count a store's blocks; an empty text if it is missing, of an earlier ensemble, or very large."""
    seen = try_read(array / "zarr.json")
    if seen is None or seen.time < since:
        return ""
    try:
        shape, shard = seen.json()["shape"], seen.json()["chunk_grid"]["configuration"]["chunk_shape"]
        n_blocks = math.prod(-(-size // part) for size, part in zip(shape, shard, strict=True))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return ""
    if n_blocks > MOST_BLOCKS:
        return ""
    chunks = array / "c"
    planes = (chunks / z / y for z in names_in(chunks) for y in names_in(chunks / z))
    done = sum(name.isdigit() for plane in planes for name in names_in(plane))
    return f"{done} of {many(n_blocks, 'block')}"


def _file(name: str, path: str, log: str, since: float | None) -> StageState:
    """Return the progress of a stage that makes one file from files written at ``since``; None: some are missing."""
    made = written(path)
    if since is None:
        return StageState(name, "waiting", "there is one of earlier results" if made is not None else "")
    if made is not None and made >= since:
        return StageState(name, "done", path)
    return _by_logs(name, [log], since, "")


def _by_logs(name: str, logs: Sequence[str], since: float, text: str) -> StageState:
    """Return the state of a stage of several jobs: an error, if a log ends with one; else whether one has started."""
    started = None
    for log in logs:
        seen = try_read(log, LOG_BYTES)
        if seen is None or seen.time < since:
            continue
        last = seen.lines[-1] if seen.lines else ""
        if last.startswith(ERROR):
            return StageState(name, "error", last.removeprefix(ERROR), log)
        started = started or StageState(name, "started", text, log, max(0.0, time.time() - seen.time))
    return started or StageState(name, "waiting", text)
