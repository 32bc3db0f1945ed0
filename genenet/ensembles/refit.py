"""Trains the members of a chosen ensemble anew, with training and validation images together (``ensemble.refit``).

::

    select ─► selected/ ─┬─► runs/refit/000 ─► refits/000.json ─┐
                         ├─► runs/refit/001 ─► refits/001.json ─┼─► ensemble/, refits.json
                         └─► (no member)    ─► refits/002.json ─┘

The number of refits is known from the config, that of the members after the selection: a rank without a member ends at
once. Members, weights and scores stay those that validation chose. No image is left that could score the new networks.
With folds, the members of one genome, one of each fold, are replaced by one that is trained on all labelled images.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genenet.config.settings import TrainSettings, read_settings
from genenet.core.atomic_files import read_json, remove, write_json
from genenet.core.errors import InputError
from genenet.core.models import Closed
from genenet.core.paths import of_fold, refit_run
from genenet.core.validation import validate
from genenet.ensembles.description import ClassVoxels, NormalisationEntry, Refit, read_description
from genenet.ensembles.ensemble import DESCRIPTION, GENOME, WEIGHTS, Member, entries, write_ensemble
from genenet.ensembles.seen import greys_of
from genenet.ensembles.start import start_of
from genenet.training.outcome_reader import read_outcome
from genenet.training.prepared import open_prepared
from genenet.training.run import TrainingRun, show_nothing
from genenet.training.scores import Status, read_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.config.settings import SelectSettings
    from genenet.core.paths import ResultPaths
    from genenet.ensembles.description import EnsembleDescription, MemberEntry
    from genenet.training.loop import Show
    from genenet.training.prepared import Prepared
    from genenet.training.stopping import Stop

log = logging.getLogger(__name__)


class RefitReceipt(Closed):
    """``refits/000.json``: how the training of one rank has ended.

    Attributes:
        member: the run that was trained anew; None if the ensemble has no member of this rank.
        genome: its id.
        status: of the training; ``empty`` without a member.
        reason: why there are no new weights.
    """

    format: Literal["genenet.refit/1"] = "genenet.refit/1"
    member: str | None = None
    genome: str | None = None
    status: Status | Literal["empty"] = "empty"
    reason: str | None = None


def refit(
    paths: ResultPaths, rank: str, settings: Path, stop: Stop | None = None, show: Show = show_nothing
) -> bool:
    """Train the member of a rank on all images, and write the receipt; False if it had to stop before its end.

    It is trained for ``training.refit_iterations``, or for as many iterations as the member's weights were: with
    inherited weights, those of its ancestors count as well, since a refit begins with random weights. A member that
    began with the weights of another search (``training.start``) does so again.

    Args:
        paths: of the search.
        rank: ``000`` is the first.
        settings: of the training.
        stop: tells when to stop.
        show: as in ``TrainingRun.run``.

    Raises:
        InputError, MachineError: As ``TrainingRun.run``.
    """
    receipt, files = Path(paths.refit(rank)), paths.run(refit_run(rank))
    runs = read_description(Path(paths.selected) / DESCRIPTION).runs
    if int(rank) >= len(runs):
        log.info("the ensemble has %d members, none of rank %s", len(runs), rank)
        for path in files.outputs():  # of an earlier selection
            remove(Path(path))
        write_json(receipt, RefitReceipt().model_dump(mode="json"))
        return True
    member = runs[int(rank)]
    asked_for = read_settings(settings, TrainSettings).training.refit_iterations
    scores = read_scores(paths.run(member).scores)
    is_started = bool(scores.inherited and scores.inherited.start)
    iterations = asked_for or (scores.iterations if is_started else scores.iterations_of_weights)
    genome, data = Path(paths.genome(member)), Path(paths.data("refit"))
    start = partial(start_of, paths, member)
    run = TrainingRun(genome, data, None, settings, files, iterations=iterations, start_of=start)
    if not run.run(stop, show):
        return False
    scores = read_scores(files.scores)
    ended = RefitReceipt(member=member, genome=scores.genome, status=scores.status, reason=scores.reason)
    write_json(receipt, ended.model_dump(mode="json"))
    return True


def read_receipt(path: Path) -> RefitReceipt:
    """Read a receipt; raises InputError if it is missing, or isn't one."""
    return validate(RefitReceipt, read_json(path), str(path))


@dataclass(frozen=True)
class _Refitted:
    """The runs that were selected, each with the receipt of its refit.

    Attributes:
        paths: of the search.
        runs: best first.
        entries: of all members, with their former weights.
        receipts: one for each run.
    """

    paths: ResultPaths
    runs: list[str]
    entries: list[MemberEntry]
    receipts: list[RefitReceipt]

    def failures(self) -> dict[str, str]:
        """Return the runs that have no new weights, and why."""
        return {
            run: f"{receipt.status}: {receipt.reason}"
            for run, receipt in zip(self.runs, self.receipts, strict=True)
            if receipt.status != "ok"
        }

    def members(self, rank: int, is_new: bool) -> list[Member]:
        """Return the members of a run: one with the new weights, or all with their former ones."""
        run = self.runs[rank]
        former = [entry for entry in self.entries if of_fold(entry.run)[0] == run]
        if not is_new:
            return [
                self._member(entry, Path(self.paths.selected) / entry.folder / WEIGHTS) for entry in former
            ]
        weights = self.paths.run(refit_run(f"{rank:03d}")).weights
        if len(former) == 1:
            return [self._member(former[0], weights)]
        ari = read_scores(self.paths.run(run).scores).ari
        of_run = {"run": run, "weight": sum(entry.weight for entry in former), "validation_ari": ari}
        return [self._member(former[0].model_copy(update=of_run), weights)]

    def _member(self, entry: MemberEntry, weights: Path) -> Member:
        genome = Path(self.paths.selected) / entry.folder / GENOME

        def copy(folder: Path) -> None:
            shutil.copyfile(genome, folder / GENOME)
            shutil.copyfile(weights, folder / WEIGHTS)

        return Member(entry.run, entry.genome, entry.validation_ari, entry.weight, copy)


def refit_ensemble(paths: ResultPaths, settings: SelectSettings) -> None:
    """Write the ensemble's folder with the new weights; a member whose refit failed keeps the former ones.

    With ``normalisation: training`` the new networks expect another mean and deviation than the former ones. An
    ensemble has one rule for all its members, so if a refit fails then, all members keep their former weights.

    Raises:
        InputError: If a receipt is missing, or is that of another member.
    """
    description = read_description(Path(paths.selected) / DESCRIPTION)
    runs = description.runs
    genomes = {of_fold(entry.run)[0]: entry.genome for entry in description.members}
    receipts = [read_receipt(Path(paths.refit(f"{rank:03d}"))) for rank in range(len(runs))]
    for run, receipt in zip(runs, receipts, strict=True):
        if receipt.member != run or receipt.genome not in (genomes[run], ""):
            raise InputError(
                f"{paths.refits}: the refits are those of another selection; start the workflow again"
            )
    found = _Refitted(paths, runs, description.members, receipts)
    failed = found.failures()
    for run, reason in failed.items():
        log.warning("the refit of %s failed (%s); it keeps its former weights", run, reason)
    train = open_prepared(Path(paths.data("refit")))
    is_shared = settings.normalisation.over == "training"
    if failed and is_shared:
        log.warning(
            "normalisation: training: all members keep their former weights, since one rule is for all"
        )
    kept = set(failed) if not is_shared or not failed else set(runs)
    members = [each for rank, run in enumerate(runs) for each in found.members(rank, run not in kept)]
    done = Refit(
        images=[image.name for image in train.images],
        refitted=[run for run in runs if run not in kept],
        failed=failed,
    )
    are_longer = any(_is_longer(paths, rank, run) for rank, run in enumerate(runs) if run not in kept)
    changes: dict[str, object] = {"refit": done}
    if done.refitted:
        changes |= _changes(description, train, settings, are_longer)
    refitted = description.model_copy(update={**changes, "members": entries(members)})
    write_ensemble(Path(paths.ensemble), members, refitted)
    write_json(Path(paths.refits), done.model_dump(mode="json"))


def _is_longer(paths: ResultPaths, rank: int, run: str) -> bool:
    """Whether the refit of a rank had more iterations than the training of its run, as far as both are known."""
    ended = [read_outcome(paths, each).scores for each in (run, refit_run(f"{rank:03d}"))]
    before, after = (each.iterations_of_weights if each else 0 for each in ended)
    return 0 < before < after


def _changes(
    description: EnsembleDescription, train: Prepared, settings: SelectSettings, are_longer: bool
) -> dict[str, object]:
    """Return what the new weights change in the description.

    If refits were longer than the trainings, the new networks are too different from the former ones to be expected to
    predict like them, so the predictions for the validation images are left out of the reference.
    """
    voxels, reference = description.class_voxels, description.reference
    rule = train.rule(settings.normalisation)
    seen: dict[str, object] = {"images": greys_of([train], rule)}
    seen |= {"validation": None} if are_longer else {}
    of_validation: Sequence[int] = voxels.validation if voxels else [0] * len(train.classes)
    return {
        "normalisation": NormalisationEntry.of(rule),
        "reference": reference and reference.model_copy(update=seen),
        "dtypes": sorted({image.image.dtype.name for image in train.images}),
        "class_voxels": ClassVoxels(train=train.class_counts, validation=list(of_validation)),
    }
