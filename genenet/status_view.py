"""How far a search is, for people: in a terminal of 80 columns, again and again if they like, or in a log."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from genenet.paths import ResultPaths
from genenet.run_state import BASELINES, RunState
from genenet.stage_state import many

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from genenet.stage_state import StageState
    from genenet.status import Status

MOST_TRAINING, MOST_OTHERS = 20, 5  # rows
OTHER_LINES = 24  # about what stands around the rows of those that train
LABEL_WIDTH, LOG_WIDTH = 10, 110
_STYLES = {"done": "green", "failed": "red", "training": "cyan", "interrupted": "yellow"}
_STAGE_STYLES = {"done": "green", "started": "cyan", "waiting": "dim", "error": "red"}


def print_status(status: Status) -> None:
    """Print it once."""
    _print(_console(), status)


def _print(console: Console, status: Status) -> None:
    with console.capture() as captured:
        console.print(render(status, MOST_TRAINING))
    for line in captured.get().splitlines():
        print(line.rstrip())  # columns are padded with blanks


def watch_status(read: Callable[[], Status], seconds: float) -> None:
    """Show it every so many seconds until the search is over or Ctrl-C; without a terminal, one below the other."""
    console = _console()
    try:
        if not console.is_terminal:
            _repeat(read, seconds, lambda status: _print(console, status))
            return
        with Live(console=console, auto_refresh=False) as live:
            most = max(3, console.height - OTHER_LINES)
            _repeat(read, seconds, lambda status: live.update(render(status, most), refresh=True))
    except KeyboardInterrupt:
        return  # that is how one stops looking


def _repeat(read: Callable[[], Status], seconds: float, show: Callable[[Status], None]) -> None:
    while True:
        status = read()
        show(status)
        if status.is_over:
            return
        time.sleep(seconds)


def _console() -> Console:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the bar, where the locale is C
    return Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)


def render(status: Status, most_training: int) -> Group:
    """Return all of it, with so many rows of trainings under way at most."""
    paths, at_work = ResultPaths(status.results), status.of_state("training")
    parts: list[RenderableType] = [_head(status)]
    parts += _section("training", _training_table(at_work[:most_training]), len(at_work) - most_training)
    interrupted, failures = status.of_state("interrupted"), status.failures
    parts += _section("interrupted", *_shown([_interruption(run) for run in interrupted]))
    parts += _section("failed", *_shown([_failure(run, paths) for run in failures]))
    return Group(*parts, Text("stages", "bold"), _stages(status.stages))


def _section(title: str, rows: Table | list[Text], n_more: int = 0) -> list[RenderableType]:
    """Return a title and what stands below it; nothing without rows."""
    content: list[RenderableType] = list(rows) if isinstance(rows, list) else [rows] * bool(rows.row_count)
    if not content:
        return []
    more = [Text(f"  … and {n_more} more (--json has all)", "dim")] if n_more > 0 else []
    return [Text(title, "bold"), *content, *more, Text()]


def _shown(lines: list[Text]) -> tuple[list[Text], int]:
    return lines[:MOST_OTHERS], len(lines) - MOST_OTHERS


def _head(status: Status) -> Group:
    """Return counts, best scores and the time left."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH, style="bold")
    table.add_column(overflow="fold")
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    n_baselines = sum(run.is_baseline for run in status.runs)
    what = f"{now}  {status.results}: " + many(len(status.runs) - n_baselines, "genome")
    what += f", {many(n_baselines, 'baseline')}" * bool(n_baselines)
    what += f", {many(status.iterations, 'iteration')} each"
    table.add_row("trainings", _counts(status))
    table.add_row("", _bar(status.runs))
    table.add_row("best", _score(status.best) if status.best else "none yet")
    for title, run in status.best_baselines.items():
        table.add_row("", _score(run, title))
    table.add_row("time left", _left(status))
    for text in _notes(status):
        table.add_row(Text("note", "yellow"), text)
    return Group(Text(what), Text(), table, Text())


def _counts(status: Status) -> Text:
    parts = [
        Text(f"{len(status.of_state(s))} {s}", style) for s, style in _STYLES.items() if status.of_state(s)
    ]
    waiting = [Text(f"{n} waiting")] if (n := len(status.of_state("waiting"))) else []
    return Text(", ").join(parts + waiting)


def _bar(runs: list[RunState]) -> Table:
    total = sum(run.iterations or 0 for run in runs)
    done = sum(
        (run.iterations or 0) if run.is_over else min(run.iteration, run.iterations or 0) for run in runs
    )
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total or 1, done, width=40), f"{100 * done // (total or 1)} % of the iterations")
    return bar


def _score(run: RunState, title: str = "") -> str:
    name = f"{title} ({run.run})" if title else run.run
    note = "" if run.is_over else f", so far: iteration {run.iteration} of {run.iterations}"
    return f"ARI {run.ari or 0.0:.3f}  {name}{note}"


def _left(status: Status) -> str:
    left = status.left
    if left.seconds is None:
        in_all = left.seconds_in_all
        alone = "" if in_all is None else f" ({duration(in_all)} for one after the other)"
        return f"can't be estimated: {left.why_not}{alone}"
    if not left.at_a_time:
        return "none: all trainings are over"
    most = "at most " * status.may_end_earlier
    return f"about {most}{duration(left.seconds)} of training, {left.at_a_time} at a time, queues not counted"


def _notes(status: Status) -> list[str]:
    old = [run for run in status.runs if run.is_of_earlier_settings]
    notes = []
    if status.changed:
        first, n_more = status.changed[0], len(status.changed) - 1
        notes.append(
            f"the config has changed since ({first}{f', {n_more} more' * bool(n_more)}); what is shown has the "
            "settings from before, and is trained anew when the workflow is started again"
        )
    if old:
        notes.append(
            f"{many(len(old), 'training')} from before settings, genomes or images were changed: waiting to be "
            "done again, or not stopped yet"
        )
    return notes


def _training_table(runs: list[RunState]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("  run", no_wrap=True)
    for title in ("iteration", "ARI", "left", "heartbeat", "progress"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("host", overflow="ellipsis", no_wrap=True)
    table.add_column("job", no_wrap=True)
    for run in runs:
        left = max(0, (run.iterations or 0) - run.iteration) * (run.seconds_per_iteration or 0)
        table.add_row(
            "  " + run.run.removeprefix(BASELINES),
            f"{run.iteration}/{run.iterations}",
            "-" if run.ari is None else f"{run.ari:.3f}",
            duration(left) if run.seconds_per_iteration else "-",
            _age(run.heartbeat_seconds),
            _age(run.progress_seconds),
            (run.host or "-").partition(".")[0],
            run.slurm_job_id or "-",
        )
    return table


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _interruption(run: RunState) -> Text:
    why = f" ({run.reason})" if run.reason else ""
    then = f"at iteration {run.iteration} of {run.iterations}{why}; goes on when the workflow runs it again"
    return Text(f"  {run.run}: {then}")


def _failure(run: RunState, paths: ResultPaths) -> Text:
    log = paths.train_log(run.run)
    return Text(f"  {run.run}: {run.status}: {run.reason}\n    log: {log}")


def _stages(stages: list[StageState]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for stage in stages:
        table.add_row(f"  {stage.name}", Text(stage.state, _STAGE_STYLES[stage.state]), _stage_text(stage))
    return table


def _stage_text(stage: StageState) -> str:
    if stage.state == "error":
        return f"{stage.text}\nlog: {stage.log}"
    silent = stage.silent_seconds
    said = "" if silent is None else f"its log was written to {duration(silent)} ago"
    return "; ".join(text for text in (stage.text, said) if text)


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"
