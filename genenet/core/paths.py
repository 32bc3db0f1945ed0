"""Every file name under ``results/``, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONTROLS = "controls/"  # in the names of the trainings of controls
LONG = "long"
_FOLDS = "/folds/"  # in the names of the trainings of folds


@dataclass(frozen=True)
class RunPaths:
    """The files of one training, ``runs/r0/000`` or ``runs/baselines/unet2015``."""

    folder: Path

    @property
    def weights(self) -> Path:
        """Best weights."""
        return self.folder / "model.safetensors"

    @property
    def history(self) -> Path:
        """A row for each validation; published at the end."""
        return self.folder / "history.csv"

    @property
    def progress(self) -> Path:
        """The same rows while it trains."""
        return self.folder / "progress.csv"

    @property
    def tensorboard(self) -> Path:
        """The same rows for TensorBoard, if they are wanted."""
        return self.folder / "tensorboard"

    @property
    def validation(self) -> Path:
        """Class probabilities of the validation images, uint8."""
        return self.folder / "validation.zarr.zip"

    @property
    def scores(self) -> Path:
        """Status and scores."""
        return self.folder / "scores.json"

    @property
    def checkpoint(self) -> Path:
        """State to continue from."""
        return self.folder / "checkpoint.pt"

    @property
    def attempts(self) -> Path:
        """When each attempt began and ended, and how."""
        return self.folder / "attempts.json"

    @property
    def state(self) -> Path:
        """The progress of the training, written with the heartbeat."""
        return self.folder / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the one process that writes here."""
        return self.folder / "lock"

    def of_folds(self, n_folds: int) -> list[RunPaths]:
        """Return the files of the trainings of all folds."""
        return [RunPaths(Path(fold_run(str(self.folder), fold))) for fold in range(n_folds)]

    def outputs(self) -> list[str]:
        """What a training publishes, whatever its status."""
        return [str(path) for path in (self.weights, self.history, self.validation, self.scores)]


@dataclass(frozen=True)
class ResultPaths:
    """The files of a whole search. Names may hold the workflow's ``{wildcards}``."""

    results: Path

    def settings(self, stage: str) -> str:
        """Return where a stage's settings are."""
        return f"{self.results}/settings/{stage}.json"

    @property
    def start(self) -> str:
        """The networks with whose weights trainings begin; only with ``training.start``."""
        return f"{self.results}/start.json"

    @property
    def contents(self) -> str:
        """The checksums of the files that the config names, with their sizes and times."""
        return f"{self.results}/contents.json"

    @property
    def phantoms(self) -> Path:
        """The folder of all phantoms."""
        return self.results / "phantoms"

    def phantom(self, name: str, kind: str) -> str:
        """Return a phantom's ``image`` or ``labels``."""
        return f"{self.results}/phantoms/{name}/{kind}.tif"

    def phantom_instances(self, name: str, objects: str) -> str:
        """Return the numbers of a phantom's objects of a class, such as ``alpha granule``."""
        return self.phantom(name, f"instances_{objects.replace(' ', '_')}")

    def data(self, split: str) -> str:
        """Return the prepared images of ``train``, ``validation``, ``test``, or ``refit``: the first two together."""
        return f"{self.results}/data/{split}.zarr.zip"

    def fold_data(self, fold: int | str, split: str) -> str:
        """Return the prepared images of a fold's ``train`` or ``validation``."""
        return f"{self.results}/data/folds/{fold}/{split}.zarr.zip"

    def training_data(self, run: str, split: str) -> str:
        """Return the prepared images of a training's ``train`` or ``validation``: those of its fold, if it has one."""
        _, fold = of_fold(run)
        return self.data(split) if fold is None else self.fold_data(fold, split)

    def genome(self, run: str) -> str:
        """Return a genome, ``r0/000`` or ``baselines/unet2015``; the trainings of its folds share it."""
        return f"{self.results}/genomes/{run.partition(_FOLDS)[0]}.json"

    def slot(self, round_: int | str, iterations: int | str, slot: str) -> str:
        """Return the result of a slot of a rung, the one that ends after ``iterations``."""
        return f"{self.results}/rungs/r{round_}/{iterations}/{slot}.json"

    def rung(self, round_: int | str, iterations: int | str) -> str:
        """Return the genomes of a rung, best first."""
        return f"{self.results}/rungs/r{round_}/{iterations}.json"

    def round(self, round_: int | str) -> str:
        """Return the scores of a round, which later ones are bred from."""
        return f"{self.results}/rounds/r{round_}.json"

    def slot_log(self, round_: int | str, iterations: int | str, slot: str) -> str:
        """Return the log of a slot of a rung."""
        return f"{self.results}/logs/rungs/r{round_}/{iterations}/{slot}.log"

    def pack(self, round_: int | str, span: str, fold: int | str | None = None) -> str:
        """Return the receipt of a job that trains several genomes of a round, ``000-007``; with folds, one of them."""
        of_fold = "" if fold is None else f"folds/{fold}/"
        return f"{self.results}/packs/{of_fold}r{round_}/{span}.json"

    def pack_log(self, round_: int | str, span: str, fold: int | str | None = None) -> str:
        """Return the log of a job that trains several genomes; each of its trainings has a log of its own, too."""
        of_fold = "" if fold is None else f"folds/{fold}/"
        return f"{self.results}/logs/packs/{of_fold}r{round_}/{span}.log"

    def rung_pack(self, round_: int | str, iterations: int | str, span: str) -> str:
        """Return the receipt of a job that trains several slots of a rung."""
        return f"{self.results}/packs/rungs/r{round_}/{iterations}/{span}.json"

    def run(self, run: str) -> RunPaths:
        """Return the files of its training."""
        return RunPaths(self.results / "runs" / run)

    def train_log(self, run: str) -> str:
        """Return the log of its training."""
        return f"{self.results}/logs/train/{run}.log"

    @property
    def ensemble(self) -> str:
        """The folder that is all that segmenting needs."""
        return f"{self.results}/ensemble"

    @property
    def selected(self) -> str:
        """The ensemble before its members are trained anew; only with ``ensemble.refit``."""
        return f"{self.results}/selected"

    def refit(self, rank: str) -> str:
        """Return the receipt of the refit of a member: ``000`` is the first."""
        return f"{self.results}/refits/{rank}.json"

    @property
    def refits(self) -> str:
        """Which members of the ensemble were trained anew."""
        return f"{self.results}/refits.json"

    @property
    def ranking(self) -> str:
        """All trainings by validation ARI."""
        return f"{self.results}/ranking.csv"

    @property
    def curve(self) -> str:
        """ARI of the best-k ensembles."""
        return f"{self.results}/ensemble_curve.csv"

    @property
    def strategies(self) -> str:
        """The ensembles of all strategies."""
        return f"{self.results}/ensemble_strategies.json"

    @property
    def anytime(self) -> str:
        """The scores of the search at the time when each of its genomes was ready."""
        return f"{self.results}/anytime.csv"

    @property
    def test_scores(self) -> str:
        """The ensemble's scores on the test images."""
        return f"{self.results}/test_scores.json"

    def control(self, name: str) -> str:
        """Return the scores of a control, such as ``best``."""
        return f"{self.results}/controls/{name}.json"

    @property
    def report(self) -> str:
        """The report."""
        return f"{self.results}/report.html"

    def store(self, volume: str) -> str:
        """Return a volume's segmentation as OME-Zarr."""
        return f"{self.results}/segmentations/{volume}.ome.zarr"

    def receipt(self, volume: str, part: str) -> str:
        """Return the receipt of one job's share of the blocks, part ``003-of-016``."""
        return f"{self.results}/segmentations/{volume}/parts/{part}.json"

    def objects(self, volume: str) -> str:
        """Return the table of a volume's objects."""
        return f"{self.results}/segmentations/{volume}.objects.csv"

    def postprocessing(self, volume: str) -> str:
        """Return the receipt of a volume's post-processing."""
        return f"{self.results}/segmentations/{volume}/postprocessing.json"

    def instances(self, volume: str) -> str:
        """Return the receipt of the numbering of a volume's objects."""
        return f"{self.results}/segmentations/{volume}/instances.json"

    def instance_tables(self, volume: str, class_name: str) -> list[str]:
        """Return the tables of a volume's numbered objects of a class, and of their contacts."""
        name = class_name.replace(" ", "_")
        return [
            f"{self.results}/segmentations/{volume}.{kind}_{name}.csv" for kind in ("instances", "contacts")
        ]

    def tiff(self, volume: str) -> str:
        """Return a volume's segmentation as TIFF."""
        return f"{self.results}/segmentations/{volume}.tif"

    def volume_scores(self, volume: str) -> str:
        """Return the scores of a volume that has labels."""
        return f"{self.results}/segmentations/{volume}/scores.json"


def fold_run(run: str, fold: int | str) -> str:
    """Name the training of a fold, from 0: ``r0/003/folds/2`` is the third of ``r0/003``."""
    return f"{run}{_FOLDS}{fold}"


def of_fold(run: str) -> tuple[str, int | None]:
    """Return what a training is a fold of, and which; of a training that is no fold, its own name and None."""
    whole, _, fold = run.partition(_FOLDS)
    return whole, int(fold) if fold else None


def baseline_run(name: str, seed: int) -> str:
    """Name a baseline's training: ``baselines/unet2015``, and from the second seed on ``baselines/unet2015_2``."""
    return f"baselines/{name}" + (f"_{seed}" if seed > 1 else "")


def of_baseline(name: str) -> tuple[str, int]:
    """Return a baseline's name and which of its trainings this is, from 1: ``unet_3d_2`` is the second of ``unet_3d``.

    A number at the end, after an underscore, is that of the training; no baseline has such a name.
    """
    run = of_fold(name)[0].removeprefix("baselines/")
    baseline, _, training = run.rpartition("_")
    return (baseline, int(training)) if baseline and training.isdecimal() else (run, 1)


def control_run(name: str, repeat: int | None) -> str:
    """Name a control's training: ``controls/best_2`` is the second of that network; None names the long one."""
    return f"{CONTROLS}{name}_{LONG if repeat is None else repeat}"


def of_control(run: str) -> tuple[str, int | None]:
    """Return which network a control's training is of, and which of its trainings; None is the long one."""
    name, _, repeat = of_fold(run)[0].removeprefix(CONTROLS).rpartition("_")
    return name, int(repeat) if repeat.isdecimal() else None


def refit_run(rank: str) -> str:
    """Name the refit of a member: ``refit/000`` is that of the first."""
    return f"refit/{rank}"


def slot_name(index: int) -> str:
    """Name a slot of a rung, from 0: ``003``."""
    return f"{index:03d}"


def span_name(first: int, last: int) -> str:
    """Name consecutive genomes or slots, from the first to the last: ``000-007``."""
    return f"{first:03d}-{last:03d}"


def of_span(span: str) -> range:
    """Return the numbers that a span includes."""
    first, last = map(int, span.split("-"))
    return range(first, last + 1)


def part_name(index: int, n_parts: int) -> str:
    """Name part ``index`` (from 1) of ``n_parts``: ``003-of-016``."""
    return f"{index:03d}-of-{n_parts:03d}"
