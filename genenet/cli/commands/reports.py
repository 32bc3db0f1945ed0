"""Commands that show the state and the results of a search."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genenet.cli.commands import (
    CONFIG,
    FIRST_STEPS,
    SEARCH,
    AsJson,
    ConfigFile,
    Out,
    Results,
    ResultsOption,
    Settings,
    app,
)


@app.command(rich_help_panel=SEARCH)
def report(
    results: Annotated[Path, typer.Option(help="the results folder")], settings: Settings, out: Out
) -> None:
    """Write the report of a search, an HTML file."""
    from genenet.config.settings import ReportSettings, read_settings
    from genenet.report.report import write_report

    write_report(results, read_settings(settings, ReportSettings), out)


@app.command(rich_help_panel=SEARCH)
def summary(results: Results = Path("results")) -> None:
    """Print the ranking of the networks, and the paths of the report and the segmentations."""
    from genenet.cli.summary import print_summary

    print_summary(results)


@app.command(rich_help_panel=SEARCH)
def status(
    config: ConfigFile = CONFIG,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="update the display until the search has ended, or until Ctrl-C")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between two updates of --watch")] = 5.0,
) -> None:
    """Show how far a search is: its trainings, the best score so far, failures, and the time left."""
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
        Path | None,
        typer.Option(help="the search's config.yaml: its threads and results folder; default: config.yaml"),
    ] = None,
    results: ResultsOption = None,
    as_json: AsJson = False,
) -> None:
    """Check the GPU, torch, cores, disk, Slurm and the container; the exit code is 1 if something must be corrected."""
    from genenet.cluster.diagnosis import is_ok, print_findings, print_json
    from genenet.cluster.doctor import examine

    findings = examine(config, results)
    (print_json if as_json else print_findings)(findings)
    sys.exit(0 if is_ok(findings) else 1)
