"""Prints the progress of a search: in a terminal of 80 columns, once or repeatedly, or in a log."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.core.choices import many
from genenet.core.paths import ResultPaths
from genenet.status.time_left import duration, seconds_left, short
from genenet.training.outcomes import BASELINES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from genenet.status.stages import StageState
    from genenet.status.status import Status
    from genenet.training.outcomes import Outcome, Phase

MOST_TRAINING, MOST_OTHERS = 20, 5  # rows
OTHER_LINES = 18  # around the rows of those that train, roughly
LABEL_WIDTH, LOG_WIDTH = 10, 110
MOST_OF_HOST, WIDEST_SCORE = 10, 8  # letters, so that all fits into 80 columns
_STYLES: dict[Phase, str] = {
    "done": "green",
    "failed": "red",
    "training": "cyan",
    "interrupted": "yellow",
    "waiting": "",
}
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
    """Print the progress at intervals until the search is over or Ctrl-C; without a terminal, one below the other."""
    console = _console()
    try:
        if not console.is_terminal:
            _repeat(read, seconds, lambda status: _print(console, status))
            return
        with Live(console=console, auto_refresh=False) as live:
            most = max(3, console.height - OTHER_LINES)
            _repeat(read, seconds, lambda status: live.update(render(status, most), refresh=True))
    except KeyboardInterrupt:
        return  # Ctrl-C ends the watching, and is no error


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
    """Return the whole text, with at most ``most_training`` rows for running trainings."""
    paths = ResultPaths(status.results)
    at_work = [*status.of_phase("training"), *(run for run in status.refits if run.phase == "training")]
    interrupted = [(_name(run), _interruption(run)) for run in status.of_phase("interrupted")]
    failures = [(_name(run), _failure(run, paths)) for run in status.failures]
    return Group(
        _head(status),
        *_section(
            "training", _training_table(at_work[:most_training], status.metric), len(at_work) - most_training
        ),
        Text("\nstages", "bold"),
        _stages(status.stages),
        *_section("interrupted", _pairs(interrupted[:MOST_OTHERS]), len(interrupted) - MOST_OTHERS),
        *_section("failed", _pairs(failures[:MOST_OTHERS]), len(failures) - MOST_OTHERS),
        *_retry(status),
    )


def _section(title: str, rows: Table, n_more: int) -> list[RenderableType]:
    """Return a title and the rows below it; nothing without rows."""
    if not rows.row_count:
        return []
    more = [Text(f"  … and {n_more} more (--json has all)", "dim")] if n_more > 0 else []
    return [Text(), Text(title, "bold"), rows, *more]


def _retry(status: Status) -> list[RenderableType]:
    """Return a line that says how to repeat failed trainings, if there are any."""
    n = sum(run.can_be_retried for run in status.failures)
    if not n:
        return []
    command = f"genenet retry {status.results}"
    return [Text(f"\n  {many(n, 'training')} can be retried once the cause is removed: {command}")]


def _pairs(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row("  " + name, Text(text))
    return table


def _name(run: Outcome) -> str:
    return run.run.removeprefix(BASELINES)


def _head(status: Status) -> Group:
    """Return counts, best scores and the time left."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH, style="bold")
    table.add_column(overflow="fold")
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    n_all, n_baselines, n_controls = (
        n // (status.n_folds or 1)
        for n in (
            len(status.runs),
            sum(run.is_baseline for run in status.runs),
            sum(run.is_control for run in status.runs),
        )
    )
    what = f"{now}  {status.results}: " + many(n_all - n_baselines - n_controls, "genome")
    what += f", {many(n_baselines, 'baseline')}" * bool(n_baselines)
    what += f", {many(n_controls, 'control training')}" * bool(n_controls)
    what += f", each in {status.n_folds} folds" * bool(status.n_folds)
    most = "at most " * status.may_end_earlier
    what += f", {most}{many(status.iterations, 'iteration')} each"
    table.add_row("trainings", _counts(status))
    table.add_row("", _bar(status.runs))
    table.add_row("best", _score(status.best, status.metric) if status.best else "none yet")
    for title, run in status.best_baselines.items():
        table.add_row("", _score(run, status.metric, title))
    if status.agreement:
        table.add_row("model", status.agreement.text)
    if status.start:
        table.add_row("start", status.start)
    table.add_row("time left", _left(status))
    for text in _notes(status):
        table.add_row(Text("note", "yellow"), text)
    return Group(Text(what), Text(), table)


def _counts(status: Status) -> Text:
    counts = Counter(run.phase for run in status.runs)
    return Text(", ").join(
        Text(f"{counts[phase]} {phase}", _STYLES[phase]) for phase in _STYLES if counts[phase]
    )


def _bar(runs: list[Outcome]) -> Table:
    total = sum(run.iterations or 0 for run in runs)
    done = sum(
        (run.iterations or 0) if run.is_over else min(run.iteration, run.iterations or 0) for run in runs
    )
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total or 1, done, width=40), f"{100 * done // (total or 1)} % of the iterations")
    return bar


def _score(run: Outcome, metric: str, title: str = "") -> str:
    name = f"{title} ({run.run})" if title else run.run
    note = "" if run.is_over else f", so far: iteration {run.iteration} of {run.iterations}"
    return f"{SELECTION_METRICS[metric].title} {run.score(metric) or 0.0:.3f}  {name}{note}"


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
            f"the config has changed ({first}{f', {n_more} more' * bool(n_more)}) since these trainings were started; "
            "the next start of the workflow trains again, or continues, what depends on it"
        )
    if old:
        notes.append(
            f"{many(len(old), 'training')} of earlier settings, genomes or images: they will be trained again, or "
            "haven't been stopped yet"
        )
    return notes


def _training_table(runs: list[Outcome], metric: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("  run", no_wrap=True)
    name = SELECTION_METRICS[metric].title
    for title in ("iteration", name if len(name) <= WIDEST_SCORE else "score", "left", "alive", "news"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("host", no_wrap=True)
    table.add_column("job", no_wrap=True)
    for run in runs:
        pace = run.seconds_per_iteration
        table.add_row(
            "  " + _name(run),
            f"{run.iteration}/{run.iterations}",
            "-" if (score := run.score(metric)) is None else f"{score:.3f}",
            short(None if pace is None else seconds_left(run, pace)),
            short(run.heartbeat_seconds),
            short(run.progress_seconds),
            (run.host or "-").partition(".")[0][:MOST_OF_HOST],
            run.slurm_job_id or "-",
        )
    return table


def _interruption(run: Outcome) -> str:
    return f"at iteration {run.iteration} of {run.iterations}: {run.reason}; continues when the workflow runs it again"


def _failure(run: Outcome, paths: ResultPaths) -> str:
    return f"{run.status}: {run.reason}\nlog: {paths.train_log(run.run)}"


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
