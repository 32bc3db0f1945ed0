"""The outcome or the progress of a training: the one type that ranking, report, status, submit and retry use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from genenet.config.selection_metrics import SCORES, SELECTION_METRICS
from genenet.core.atomic_files import read_csv
from genenet.core.attempt_records import read_attempts
from genenet.core.errors import InputError
from genenet.core.paths import CONTROLS, fold_run, of_baseline
from genenet.core.tolerant_read import as_number
from genenet.genes.baselines import title_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from genenet.core.attempt_records import AttemptRecord
    from genenet.core.lock_holder import Holder
    from genenet.core.paths import RunPaths
    from genenet.genes.domains import Number
    from genenet.genes.genome import Genome
    from genenet.genes.prediction import PredictedScore
    from genenet.training.scores import Scores
    from genenet.training.state_file import TrainingState

Phase = Literal["done", "failed", "training", "interrupted", "waiting"]
BASELINES = "baselines/"
RETRIED = ("unfinished", "failed", "out_of_memory")  # by ``genenet retry``, unless others are asked for


@dataclass(frozen=True)
class Expected:
    """What the results of a training must be, so that it is over.

    Attributes:
        iterations: that it is to reach for now; None if any number will do.
        since: when the newest of its settings, genome and images was written. Older results don't count.
        is_whole: it trains in one go; results with fewer iterations are those of a training that ended early.
    """

    iterations: int | None = None
    since: float = 0.0
    is_whole: bool = True


ANY = Expected()


@dataclass(frozen=True)
class Cost:
    """What a training took: jobs that worked on it, and their seconds from begin to end.

    A job that was killed couldn't record its end; its seconds are missing, and it counts in ``n_killed``.
    """

    n_jobs: int = 0
    job_seconds: float = 0.0
    n_killed: int = 0


def score_of_row(row: Mapping[str, str], metric: str) -> float | None:
    """Return the validation score of a row of ``history.csv``; None if the row doesn't hold it."""
    return SELECTION_METRICS[metric].of_scores(scores_of_row(row))


def scores_of_row(row: Mapping[str, str]) -> dict[str, float | None]:
    """Return ARI and mean IoU of a row of ``history.csv``; version 0.1 wrote no mean IoU."""
    return {name: as_number(row.get(f"validation_{name}", "")) for name in SCORES}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One training, as its files show it. Seconds are ages at the time of reading.

    Attributes:
        run: its name, such as r0/000, baselines/unet2015 or controls/best_2.
        files: in its folder.
        genome_file: of the genome that it trains.
        phase: done and failed have published results; interrupted has begun and isn't running.
        scores: that it has published and that count; None if there are none, or unreadable ones.
        published: when, in seconds since 1970.
        problem: why ``scores.json`` can't be read.
        expected: what the results had to be.
        state: that the last attempt wrote; None if it is over, or if version 0.1 trained it.
        attempt: the last one, unless it is over; None if another one has the lock and hasn't begun to train.
        heartbeat_seconds: since the heartbeat of one that runs.
        progress_seconds: since its last iteration.
        is_of_earlier_settings: there are results or attempts, but of older settings, genome or images.
        rank: in the ranking, from 1; 0 if it wasn't ranked.
        is_member: whether it is in the ensemble.
    """

    run: str
    files: RunPaths
    genome_file: Path
    phase: Phase = "waiting"
    scores: Scores | None = None
    published: float | None = None
    problem: str = ""
    expected: Expected = ANY
    state: TrainingState | None = None
    attempt: AttemptRecord | None = None
    holder: Holder | None = None
    progress_seconds: float | None = None
    is_of_earlier_settings: bool = False
    rank: int = 0
    is_member: bool = False

    @property
    def is_baseline(self) -> bool:
        """Whether it is a network of the literature. Baselines are ranked, never members."""
        return self.run.startswith(BASELINES)

    @property
    def is_control(self) -> bool:
        """Whether only a control needs it. Such trainings are neither ranked nor members."""
        return self.run.startswith(CONTROLS)

    @property
    def n_folds(self) -> int:
        """Of how many folds these are the joined results; 0 for one training."""
        return (self.scores.folds or 0) if self.scores else 0

    @property
    def trainings(self) -> list[str]:
        """The names of the trainings that it is made of: itself, or one for each fold."""
        return [fold_run(self.run, fold) for fold in range(self.n_folds)] or [self.run]

    @property
    def kind(self) -> Literal["member", "baseline", "control", "other"]:
        """The role of the training in the report."""
        if self.is_control:
            return "control"
        return "baseline" if self.is_baseline else "member" if self.is_member else "other"

    @property
    def title(self) -> str:
        """What people call it."""
        return title_of(of_baseline(self.run)[0]) if self.is_baseline else self.run

    @property
    def is_ok(self) -> bool:
        """Whether it has published weights."""
        return self.scores is not None and self.scores.is_ok

    @property
    def is_over(self) -> bool:
        """Whether it has published results, well or not."""
        return self.phase in ("done", "failed")

    @property
    def status(self) -> str | None:
        """The status that it has published; None if it hasn't."""
        if self.problem:
            return "unreadable"
        return self.scores.status if self.scores else None

    @property
    def can_be_retried(self) -> bool:
        """Whether ``genenet retry`` takes it up again."""
        return self.status in RETRIED

    @property
    def reason(self) -> str:
        """Why it has no weights, or why it was interrupted."""
        if self.phase == "interrupted" and self.attempt:
            stopped = self.attempt.ending == "stopped"
            text = "it was asked to stop, or its time was over" if stopped else self.attempt.exit
            return text or "its process is gone"
        return self.problem or (self.scores.reason if self.scores else None) or ""

    @property
    def ari(self) -> float | None:
        """ARI on the validation images; of one that isn't over, the best so far. None if there is none."""
        if self.scores:
            return self.scores.ari
        return self.state.best_ari if self.state else None

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU on the validation images; of one that isn't over, that of the best validation so far."""
        if self.scores:
            return self.scores.validation.mean_iou if self.scores.validation else None
        return self.state.best_mean_iou if self.state else None

    def score(self, metric: str) -> float | None:
        """Return the validation score by a metric of SELECTION_METRICS; None if there is none."""
        return SELECTION_METRICS[metric].of_scores({"ari": self.ari, "mean_iou": self.mean_iou})

    def ranked_score(self, metric: str) -> float:
        """Return the score for the ranking: -1 if there is none, so that the training is ranked last."""
        score = self.score(metric)
        return -1.0 if score is None else score

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the validation images."""
        return self.scores.validation.accuracy if self.scores and self.scores.validation else None

    @property
    def n_parameters(self) -> int | None:
        """Of its network; None if it can't be built, or isn't published."""
        return self.scores.n_parameters if self.scores else None

    @property
    def genome(self) -> str:
        """The id of its genome, once it is published."""
        return self.scores.genome if self.scores else ""

    @property
    def seconds(self) -> float | None:
        """Of training and validating."""
        return self.scores.seconds if self.scores else None

    @property
    def seconds_per_megavoxel(self) -> float | None:
        """Time that its network took for the validation images; None if it wasn't measured."""
        measured = self.scores.prediction if self.scores else None
        return measured.seconds / measured.voxels * 1e6 if measured and measured.voxels else None

    @property
    def best_iteration(self) -> int | None:
        """The iteration whose weights it has published."""
        return self.scores.best_iteration if self.scores else None

    @property
    def iterations(self) -> int | None:
        """That it has trained, once it is published; those that it is to reach before."""
        if self.phase == "failed":
            return None
        if self.phase == "done" and self.scores and self.scores.iterations:
            return self.scores.iterations
        return self.state.iterations if self.state else self.expected.iterations

    @property
    def iteration(self) -> int:
        """The last one that is known to be done."""
        if self.phase == "failed":
            return 0
        if self.scores:
            return self.scores.iterations or self.expected.iterations or 0
        if self.attempt is None:
            return 0
        done = self.attempt.ended_at_iteration
        return (
            max(self.attempt.began_at_iteration, self.state.iteration if self.state else 0)
            if done is None
            else done
        )

    @property
    def seconds_per_iteration(self) -> float | None:
        """Validations included; None if it isn't known yet."""
        if self.scores:
            return (
                self.scores.seconds / self.scores.iterations
                if self.scores.seconds and self.scores.iterations
                else None
            )
        return self.state.seconds_per_iteration if self.state else None

    @property
    def heartbeat_seconds(self) -> float | None:
        """How long ago a running training showed that it lives, on this machine's clock."""
        return self.holder.silent_seconds if self.holder else None

    @property
    def host(self) -> str | None:
        """Where it runs, or ran last."""
        return (self.holder.host if self.holder else None) or (self.attempt.host if self.attempt else None)

    @property
    def slurm_job_id(self) -> str | None:
        """The job that it runs in, or ran in last."""
        job = self.holder.slurm_job_id if self.holder else None
        return job or (self.attempt.slurm_job_id if self.attempt else None)

    @cached_property
    def _history(self) -> list[dict[str, str]]:
        return read_csv(self.files.history) if self.files.history.exists() else []

    def history(self, metric: str) -> list[tuple[int, float]]:
        """Return iteration and score, by a metric of SELECTION_METRICS, of each validation that has one."""
        points = [(int(row["iteration"]), score_of_row(row, metric)) for row in self._history]
        return [(iteration, score) for iteration, score in points if score is not None]

    @cached_property
    def _genome(self) -> Genome | None:
        from genenet.genes.genome import read_genome  # imports numpy

        try:
            return read_genome(self.genome_file)
        except InputError:  # missing or damaged; its training has published that
            return None

    @property
    def values(self) -> dict[str, Number]:
        """The values of its genome's root."""
        return self._genome.net.values() if self._genome else {}

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of the genomes that its own was bred from."""
        return self._genome.parents if self._genome else ()

    @property
    def predicted(self) -> PredictedScore | None:
        """The score that a surrogate model predicted for its genome; None if none did."""
        return self._genome.prediction if self._genome else None

    @cached_property
    def costs(self) -> list[Cost]:
        """What all attempts took: its own, or those of each fold."""
        folders = self.files.of_folds(self.n_folds) or [self.files]
        return [_cost(read_attempts(files.attempts)) for files in folders]

    @property
    def cost(self) -> Cost:
        """What all attempts took together."""
        n_jobs, n_killed = (sum(getattr(c, name) for c in self.costs) for name in ("n_jobs", "n_killed"))
        return Cost(n_jobs, sum(each.job_seconds for each in self.costs), n_killed)


def _cost(entries: Sequence[AttemptRecord]) -> Cost:
    seconds = [entry.seconds for entry in entries if entry.seconds is not None]
    return Cost(len(entries), sum(seconds), len(entries) - len(seconds))
