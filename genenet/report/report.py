"""The report: the results of a search as one HTML file that opens without a network connection."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genenet.config.ensemble import COMBINATIONS
from genenet.config.selection_metrics import SELECTION_METRICS, SelectionMetric
from genenet.core.atomic_files import write_text
from genenet.core.paths import ResultPaths, of_fold, refit_run, slot_name
from genenet.ensembles import claims
from genenet.ensembles.comparison import LEARNED_FROM, comparison
from genenet.ensembles.controls import read_controls
from genenet.ensembles.description import read_description, read_strategies
from genenet.ensembles.label_rounds import LabelRound, RoundRow, round_rows
from genenet.ensembles.ranking import read_runs
from genenet.ensembles.standings import standings
from genenet.ensembles.start import read_start
from genenet.ensembles.tested import read_test_scores
from genenet.genes.genome import read_genome
from genenet.metrics.table import METRICS
from genenet.report import figures, model_plots, network_plots, object_plots, plot_style, plots
from genenet.report.object_sections import object_sections
from genenet.report.provenance import cost, provenance, refit_cost, settings_of
from genenet.report.tried import not_tried, tried_on
from genenet.report.volume_sections import volume_section
from genenet.search.importance import what_matters
from genenet.search.predictions import agreement
from genenet.training.outcome_reader import read_outcome
from genenet.training.outcomes import Outcome
from genenet.volumes.palette import class_colours

if TYPE_CHECKING:
    from genenet.config.settings import ReportSettings
    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.tested import ScoresOnTestImages

AGAINST = "against "  # prefix of the names of plots against a hyperparameter
ROLES = {"member": "ensemble", "baseline": "baseline", "other": ""}


def write_report(results: Path, settings: ReportSettings, out: Path) -> None:
    """Write the report of a search.

    Raises:
        InputError: If there is no ranking or no ensemble yet.
    """
    environment = Environment(
        loader=PackageLoader("genenet.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(number=number, whole=whole, sparkline=sparkline, score=score)
    paths = ResultPaths(results)
    contents = report_contents(paths, settings)
    runs, contenders = contents["runs"], contents["contenders"]
    ensemble: EnsembleDescription = contents["ensemble"]
    against = network_plots.hyperparameters(runs, contenders[0].score, ensemble.metric)
    models = plots.plots_of(paths, ensemble, runs, contenders, contents["calibration"])
    models |= model_plots.plots_of_model(runs, contents["importance"], ensemble.metric)
    models |= object_plots.plots_of_objects(contents["objects"])
    shown = {name: model for name, model in models.items() if model}
    script, elements = plot_style.embed({**shown, **{AGAINST + name: plot for name, plot in against.items()}})
    page = environment.get_template("report.html.j2").render(
        **contents,
        plots=elements,
        against=[elements[AGAINST + name] for name in against],
        plots_script=script,
        plots_code=plot_style.code(),
    )
    write_text(out, page)


def report_contents(paths: ResultPaths, settings: ReportSettings) -> dict[str, Any]:
    """Return what the template shows, by the names that it uses."""
    ensemble = read_description(Path(paths.ensemble) / "ensemble.json")
    test = read_test_scores(Path(paths.test_scores))
    runs = read_runs(paths, set(ensemble.runs))
    contenders = claims.contenders(ensemble, runs)
    controls = read_controls(paths, settings.controls)
    folder = str(Path(paths.ensemble).resolve())
    of_controls = [read_outcome(paths, run) for run in dict.fromkeys(r for c in controls for r in c.own_runs)]
    classes = ensemble.classes
    volumes = [volume_section(paths, name, files, settings) for name, files in settings.volumes.items()]
    segmented = {volume.name: volume.warnings for volume in volumes if volume.pictures}
    return {
        "ensemble": ensemble,
        "members_text": f"{ensemble.size_text} in {folder}",
        "command": f"genenet segment --ensemble {shlex.quote(folder)} IMAGE.tif --out IMAGE.ome.zarr",
        "standings": standings(ensemble, test, runs, controls),
        "combination": COMBINATIONS[ensemble.combination],
        "untrained": ensemble.untrained_classes,
        "calibration": (test and test.calibration) or ensemble.calibration,
        "calibrated_on": "test" if test and test.calibration else "validation",
        "strategies": claims.strategies(read_strategies(Path(paths.strategies)), test),
        "contenders": contenders,
        "beaten": claims.beaten(runs, contenders, ensemble.metric),
        "metric": SELECTION_METRICS[ensemble.metric],
        "n_networks": sum(run.kind != "baseline" for run in runs),
        "n_baselines": sum(run.kind == "baseline" for run in runs),
        "n_compared": sum(each.kind == "baseline" for each in contenders),
        "n_below": network_plots.n_below(runs, ensemble.metric),
        "n_failed": sum(run.kind != "baseline" and run.status != "ok" for run in runs),
        "test": test,
        "comparison": comparison(ensemble, test, runs, controls),
        "volumes": volumes,
        "objects": object_sections(ensemble, test),
        "not_tried": not_tried(ensemble, test, segmented),
        "tried_on": tried_on(ensemble, segmented),
        "legend": [
            (name, "#{:02x}{:02x}{:02x}".format(*c))
            for name, c in zip(classes, class_colours(len(classes)), strict=True)
        ],
        "runs": runs,
        "roles": ROLES,
        "metrics": [metric for metric in METRICS.values() if metric.is_headline],
        "drawings": _drawings(paths, ensemble),
        "importance": what_matters(runs, ensemble.metric),
        "agreement": agreement(runs, ensemble.metric),
        "cost": cost(runs, of_controls) | refit_cost(_refits(paths, ensemble)),
        "settings": settings_of(paths),
        "results": str(paths.results),
        "n_trainings": sum(len(run.trainings) for run in [*runs, *of_controls]),
        "n_folds": max((run.n_folds for run in runs), default=0),
        "learned_from": LEARNED_FROM[any(run.n_folds for run in runs)],
        "refit": ensemble.refit,
        "is_refitted": bool(ensemble.refit and ensemble.refit.refitted),
        "refit_gain": claims.refit_gain(ensemble, test),
        "failures": [(run, paths.train_log(run.run)) for run in [*runs, *of_controls] if run.status != "ok"],
        "rounds": _rounds(paths, ensemble, test),
        "provenance": provenance(paths, runs, ensemble.members),
    }


def _rounds(
    paths: ResultPaths, ensemble: EnsembleDescription, test: ScoresOnTestImages | None
) -> list[RoundRow]:
    """Return the rounds of labelling up to this search; none if it starts from nothing."""
    path = Path(paths.start)
    earlier = read_start(path).rounds if path.exists() else []
    return round_rows([*earlier, LabelRound.of(paths.results, ensemble, test)]) if earlier else []


def _refits(paths: ResultPaths, ensemble: EnsembleDescription) -> list[Outcome]:
    """Return the trainings of the members on all labelled images; none if there were none."""
    ranks = range(len(ensemble.runs)) if ensemble.refit else []
    return [read_outcome(paths, refit_run(slot_name(rank))) for rank in ranks]


def _drawings(paths: ResultPaths, ensemble: EnsembleDescription) -> list[tuple[str, list[figures.Picture]]]:
    """Return the run of each member with the pictures of its genome."""
    n_outputs = len(ensemble.outputs)
    folders = {of_fold(m.run)[0]: m.folder for m in ensemble.members}
    genomes = {
        run: read_genome(Path(paths.ensemble) / folder / "genome.json") for run, folder in folders.items()
    }
    return [(run, figures.genome_pictures(genome, n_outputs)) for run, genome in genomes.items()]


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text for people, and a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def whole(value: float | None) -> str:
    """Return a whole number as text with thousands separators, and a dash for None."""
    return "–" if value is None else f"{round(value):,}"


def score(run: Outcome, metric: str) -> float | None:
    """Return a score of a training on the validation images; None if there is none."""
    validation = run.scores.validation if run.scores else None
    return validation.metrics.get(metric) if validation else None


def sparkline(run: Outcome, metric: SelectionMetric) -> Markup:
    """Draw the validation scores of a run from 0 to 1, as a line of SVG; nothing for fewer than two validations."""
    history = run.history(metric.name)
    if len(history) < 2:
        return Markup("")
    last = history[-1][0]
    points = " ".join(
        f"{100 * i / last:.1f},{1 + 22 * (1 - min(max(score, 0), 1)):.1f}" for i, score in history
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img">'
        f'<title>validation {metric.title}, 0 to 1</title><polyline points="{points}"/></svg>'
    )
