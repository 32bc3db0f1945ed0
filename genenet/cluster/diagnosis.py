"""Findings of ``genenet doctor``: how it asks other programs, and how it prints what it found."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from genenet.core.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECONDS_TO_ANSWER = 5.0
_MARKS = {"ok": ("✓ ok", "green"), "note": ("– note", "yellow"), "problem": ("✗ problem", "bold red")}


@dataclass(frozen=True)
class Finding:
    """The result of one check. Only a problem must be corrected; ``hint`` tells how."""

    topic: str
    status: Literal["ok", "note", "problem"]
    text: str
    hint: str = ""


def ok(topic: str, text: str) -> Finding:
    """Return that nothing must be done."""
    return Finding(topic, "ok", text)


def note(topic: str, text: str, hint: str = "") -> Finding:
    """Return what some users want to know."""
    return Finding(topic, "note", text, hint)


def problem(topic: str, text: str, hint: str = "") -> Finding:
    """Return what must be corrected."""
    return Finding(topic, "problem", text, hint)


def probe(topic: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return the findings of ``look``; an exception in it becomes a finding too."""
    found: list[Finding] = []
    try:
        found.extend(look())  # keeps what came before an error
    except Exception as error:
        text = f"could not be looked at: {type(error).__name__}: {one_line(error)}"
        found.append(problem(topic, text))
    return found


@dataclass(frozen=True)
class Answer:
    """The output of another program, or the error if it failed, is missing or took too long."""

    ok: bool
    text: str


def ask(program: str, *arguments: str) -> Answer:
    """Run another program, for ``SECONDS_TO_ANSWER`` at most."""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            timeout=SECONDS_TO_ANSWER,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, f"no answer in {SECONDS_TO_ANSWER:g} s")
    except OSError as error:
        return Answer(False, one_line(error))
    output = done.stderr if done.returncode else done.stdout
    return Answer(done.returncode == 0, output.decode(errors="replace").strip())


def first_of(*programs: str) -> str | None:
    """Return the first of these programs that is on the PATH."""
    return next((program for program in programs if shutil.which(program)), None)


def is_ok(findings: list[Finding]) -> bool:
    """Whether none is a problem."""
    return all(finding.status != "problem" for finding in findings)


def print_json(findings: list[Finding]) -> None:
    """Print them for programs."""
    print(json.dumps({"ok": is_ok(findings), "findings": [asdict(f) for f in findings]}, indent=1))


def print_findings(findings: list[Finding]) -> None:
    """Print a line for each, hints below, and a line that sums up."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the marks, where the locale is C
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.status]
        table.add_row(Text(mark, style), Text(finding.topic, "bold"), Text(finding.text))
        if finding.hint:
            table.add_row("", "", Text("→ " + finding.hint.replace("\n", "\n  "), "italic"))
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
        console.print(Text(_sum(findings), "bold"))
    for line in captured.get().splitlines():
        print(line.rstrip())  # columns are padded with blanks


def _sum(findings: list[Finding]) -> str:
    topics = [finding.topic for finding in findings if finding.status == "problem"]
    if not topics:
        return "\nNo problems."
    return f"\n{len(topics)} problem{'s' * (len(topics) > 1)}: {', '.join(topics)}."
