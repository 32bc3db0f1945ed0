"""Commands that show the state and the results of a search."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genenet.cli.commands import FIRST_STEPS, SEARCH, Out, Settings, app


@app.command(rich_help_panel=SEARCH)
def report(
    results: Annotated[Path, typer.Option(help="the results folder")], settings: Settings, out: Out
) -> None:
    """Write the report."""
    from genenet.config.stages import ReportSettings, read_settings
    from genenet.report.report import write_report

    write_report(results, read_settings(settings, ReportSettings), out)


@app.command(rich_help_panel=SEARCH)
def summary(results: Annotated[Path, typer.Argument(help="the results folder")] = Path("results")) -> None:
    """Print the ranking, and where report and segmentations are."""
    from genenet.cli.summary import print_summary

    print_summary(results)


@app.command(rich_help_panel=SEARCH)
def status(
    config: Annotated[Path, typer.Argument(help="the search's config.yaml")] = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="show it again and again, until all is done or Ctrl-C")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between two looks of --watch")] = 5.0,
) -> None:
    """Show how far a search is, while it runs: trainings, the best so far, failures, time left."""
    from genenet.status import status as found
    from genenet.status.view import print_status, watch_status

    search = found.load_config(config)
    if as_json:
        found.print_json(found.read_status(search))
    elif watch:
        watch_status(lambda: found.read_status(search), every)
    else:
        print_status(found.read_status(search))


@app.command(rich_help_panel=FIRST_STEPS)
def doctor(
    config: Annotated[
        Path | None, typer.Option(help="says threads and results folder; config.yaml, if it is there")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="the results folder, instead")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check GPU, torch, cores, disk, Slurm and container; exit with 1 if something must be corrected."""
    from genenet.cluster.diagnosis import is_ok, print_findings, print_json
    from genenet.cluster.doctor import examine

    findings = examine(config, results)
    (print_json if as_json else print_findings)(findings)
    sys.exit(0 if is_ok(findings) else 1)
