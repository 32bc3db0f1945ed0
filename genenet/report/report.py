"""The report: the results of a search as one HTML file that opens without a network connection."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genenet.config.ensemble import COMBINATIONS
from genenet.config.selection_metrics import SELECTION_METRICS, SelectionMetric
from genenet.core.atomic_files import read_json, write_text
from genenet.core.errors import InputError
from genenet.core.geometry import Box
from genenet.core.paths import ResultPaths, of_fold, refit_run, slot_name
from genenet.core.validation import validate
from genenet.ensembles import claims
from genenet.ensembles.comparison import LEARNED_FROM, comparison
from genenet.ensembles.controls import read_controls
from genenet.ensembles.description import read_description, read_strategies
from genenet.ensembles.ranking import read_runs
from genenet.ensembles.standings import standings
from genenet.ensembles.tested import read_test_scores
from genenet.genes.genome import read_genome
from genenet.metrics.scores import ClassScores
from genenet.metrics.table import METRICS
from genenet.report import figures, model_plots, network_plots, plot_style, plots, slices
from genenet.report.provenance import cost, provenance, refit_cost, settings_of
from genenet.report.tried import not_tried, tried_on
from genenet.search.importance import what_matters
from genenet.search.predictions import agreement
from genenet.training.outcome_reader import read_outcome
from genenet.training.outcomes import Outcome
from genenet.volumes import ome_zarr
from genenet.volumes.label_images import class_labels
from genenet.volumes.labels import ShownLabels
from genenet.volumes.opening import open_volume
from genenet.volumes.palette import class_colours

if TYPE_CHECKING:
    from genenet.config.settings import ImageFiles, ReportSettings
    from genenet.ensembles.description import EnsembleDescription
    from genenet.volumes.base import Volume

AGAINST = "against "  # prefix of the names of plots against a hyperparameter
SHOWN = 900  # most voxels of a slice along y and x, so that the file stays small


@dataclass(frozen=True)
class VolumeSection:
    """A segmented volume: pictures of one slice and the data of the viewer, or a note on why they are missing.

    The warnings say how it differs from what the ensemble has seen.
    """

    name: str
    caption: str
    note: str
    pictures: list[figures.Picture]
    viewer: dict[str, Any] | None
    scores: ClassScores | None
    warnings: list[str] = field(default_factory=list)


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
    volumes = [_volume_section(paths, name, files, settings) for name, files in settings.volumes.items()]
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
        "provenance": provenance(paths, runs, ensemble.members),
    }


def _refits(paths: ResultPaths, ensemble: EnsembleDescription) -> list[Outcome]:
    """Return the trainings of the members on all labelled images; none if there were none."""
    ranks = range(len(ensemble.runs)) if ensemble.refit else []
    return [read_outcome(paths, refit_run(slot_name(rank))) for rank in ranks]


def _drawings(paths: ResultPaths, ensemble: EnsembleDescription) -> list[tuple[str, list[figures.Picture]]]:
    """Return the run of each member with the pictures of its genome."""
    n_classes = len(ensemble.classes)
    folders = {of_fold(m.run)[0]: m.folder for m in ensemble.members}
    genomes = {
        run: read_genome(Path(paths.ensemble) / folder / "genome.json") for run, folder in folders.items()
    }
    return [(run, figures.genome_pictures(genome, n_classes)) for run, genome in genomes.items()]


def _volume_section(
    paths: ResultPaths, name: str, files: ImageFiles, settings: ReportSettings
) -> VolumeSection:
    choice, budget = settings.labels, slices.BUDGET // len(settings.volumes)
    scores = _scores(Path(paths.volume_scores(name))) if files.labels else None
    path = Path(paths.store(name))
    if not path.exists():
        return VolumeSection(name, "", f"{path}: not segmented yet", [], None, scores)
    try:
        store = ome_zarr.open_store(path)
        image, labels = _volumes(store, files, settings.ignore_label)
        pictures = _middle_slice(store, image, labels, choice)
        viewer = slices.viewer(image, labels, store, choice, budget)
    except InputError as error:
        return VolumeSection(name, "", str(error), [], None, scores)
    missing = len(store.missing)
    note = f"{missing} of {len(store.blocks)} blocks aren't segmented yet; they are shown as background."
    caption = _caption(store, _middle(store.shape))
    warnings = store.attributes.get("warnings", [])
    return VolumeSection(name, caption, note if missing else "", pictures, viewer, scores, warnings)


def _scores(path: Path) -> ClassScores | None:
    return validate(ClassScores, read_json(path), str(path)) if path.exists() else None


def _volumes(
    store: ome_zarr.Store, files: ImageFiles, ignore_label: int | None
) -> tuple[Volume, Volume | None]:
    """Return the image, and its labels if there are any; raises InputError if shapes differ from the segmentation."""
    image = open_volume(files.image, files.region, flip=files.flip)
    labels = None
    if files.labels:
        ids = open_volume(files.labels, files.region, flip=files.flip, is_grey=False)
        labels = ShownLabels(ids, len(store.attributes["classes"]), ignore_label)
    for volume in (image, labels):
        if volume and volume.shape != store.shape:
            raise InputError(
                f"{volume.name}: has shape {volume.shape}, its segmentation {store.shape}; segment it again"
            )
    return image, labels


def _middle_slice(
    store: ome_zarr.Store, image: Volume, labels: Volume | None, choice: str | None
) -> list[figures.Picture]:
    """Return the pictures of the middle slice; only its middle part is read."""
    box = _middle(store.shape)
    uncertainty = np.asarray(store.root[(0, *box.slices)])[0]
    return figures.slice_pictures(
        image.read(box)[0],
        labels.read(box)[0] if labels else None,
        np.asarray(class_labels(store, choice)[box.slices])[0],
        uncertainty / 255 if uncertainty.dtype.kind == "u" else uncertainty,
        len(store.attributes["classes"]),
    )


def _middle(shape: tuple[int, int, int]) -> Box:
    z, height, width = shape[0] // 2, min(shape[1], SHOWN), min(shape[2], SHOWN)
    return Box.of_shape((1, height, width), (z, (shape[1] - height) // 2, (shape[2] - width) // 2))


def _caption(store: ome_zarr.Store, box: Box) -> str:
    depth, height, width = store.shape
    _, y_nm, x_nm = store.attributes["voxel_size_nm"]
    shown, micrometres = box.shape[1:], (box.shape[1] * y_nm / 1000, box.shape[2] * x_nm / 1000)
    part = "the whole slice" if shown == (height, width) else f"the middle {shown[0]} × {shown[1]} voxels"
    return (
        f"Slice {box.start[0] + 1} of {depth}, {part} of {height} × {width} (y × x): "
        f"{micrometres[0]:.3g} × {micrometres[1]:.3g} µm"
    )


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
