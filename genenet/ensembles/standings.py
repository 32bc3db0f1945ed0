"""The ensemble beside the best network, the baselines and the controls, on validation and, apart, on test images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.ensembles.claims import Contender, contenders, minus, rival, rivals_of
from genenet.ensembles.comparison import title_of_control
from genenet.ensembles.intervals import paired_interval
from genenet.ensembles.verdicts import Lead, on_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from genenet.ensembles.controls import ControlFile
    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.tested import ScoresOnTestImages
    from genenet.metrics.block_scores import BlockCounts
    from genenet.metrics.scores import ClassScores
    from genenet.training.outcomes import Outcome

CHOSEN_ON = {
    "validation": "The networks, their number and their weights were chosen on these images, so the scores are "
    "optimistic.",
    "test": "Nothing was chosen on these images.",
}


@dataclass(frozen=True)
class Standing:
    """The ensemble among its rivals on one set of images.

    Attributes:
        split: which images they are.
        images: their names.
        scores: of the ensemble.
        compared: scores of the ensemble as the rivals are compared with it; before the refit, if there was one.
        rivals: the best network, the baselines and the controls, as far as they have scores there.
        not_found: a sentence on classes that are never predicted or badly found; "" if there are none.
    """

    split: Literal["validation", "test"]
    images: Sequence[str]
    scores: ClassScores
    compared: ClassScores
    rivals: list[Contender] = field(default_factory=list)
    not_found: str = ""

    @property
    def chosen(self) -> str:
        """What was chosen on these images."""
        return CHOSEN_ON[self.split]

    @property
    def is_refitted(self) -> bool:
        """Whether the compared scores are those before a refit."""
        return self.compared is not self.scores

    @property
    def note(self) -> str:
        """A sentence on how many blocks the intervals come from; an empty one without intervals."""
        known = [each.lead.interval for each in self.rivals if each.lead and each.lead.interval]
        return on_blocks(min(each.n_blocks for each in known)) if known else ""

    @property
    def lines(self) -> list[str]:
        """The scores, what was chosen on these images, and what the differences show, as lines for a terminal."""
        scores = (f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in self._headline)
        first = f"on the {self.split} images: {', '.join(scores)}. {self.chosen}"
        sentences = [each.lead.sentence(each.name) for each in self.rivals if each.lead]
        return [first, *(f"  {sentence}" for sentence in [*sentences, self.note] if sentence)]

    @property
    def _headline(self) -> list[tuple[str, float | None]]:
        named = [("ARI", self.scores.ari), ("mean IoU", self.scores.mean_iou)]
        before = [("ARI before the refit", self.compared.ari), ("mean IoU before it", self.compared.mean_iou)]
        return named + before if self.is_refitted else named


def standings(
    ensemble: EnsembleDescription,
    test: ScoresOnTestImages | None,
    runs: Sequence[Outcome],
    controls: Sequence[ControlFile],
) -> list[Standing]:
    """Return how the ensemble stands on the validation images, and on the test images if there are any.

    Args:
        ensemble: the chosen one.
        test: its scores on the test images.
        runs: all ranked trainings, best first.
        controls: what is known of them.
    """
    found = [_on_validation(ensemble, runs, controls)]
    return found + [_on_test(ensemble, test, runs, controls)] if test else found


def _on_validation(
    ensemble: EnsembleDescription, runs: Sequence[Outcome], controls: Sequence[ControlFile]
) -> Standing:
    metric, scores = ensemble.metric, ensemble.validation
    found = Standing("validation", ensemble.selected_on, scores, scores)
    of_controls = _controls(controls, "validation", metric, scores, ensemble.blocks)
    rivals = [*contenders(ensemble, runs)[1:], *of_controls]
    return replace(found, rivals=rivals, not_found=scores.not_found(ensemble.classes))


def _on_test(
    ensemble: EnsembleDescription,
    test: ScoresOnTestImages,
    runs: Sequence[Outcome],
    controls: Sequence[ControlFile],
) -> Standing:
    metric, scores = ensemble.metric, test.comparable
    found = Standing("test", test.volumes, test, scores)
    networks = _networks(test, runs, metric)
    rivals = [*networks, *_controls(controls, "test", metric, scores, scores.blocks)]
    return replace(found, rivals=rivals, not_found=test.not_found(ensemble.classes))


def _networks(test: ScoresOnTestImages, runs: Iterable[Outcome], metric: str) -> Iterator[Contender]:
    """Yield the best network and the baselines all of whose seeds were scored on the test images."""
    reached = SELECTION_METRICS[metric].of_scores(test.comparable.metrics)
    for _, seeds in rivals_of(runs):
        known = [test.networks[run.run] for run in seeds if run.run in test.networks]
        if len(known) == len(seeds):
            between = paired_interval(test.comparable.blocks, [each.blocks for each in known], metric)
            yield rival(seeds, known, metric, reached, between)


def _controls(
    controls: Iterable[ControlFile],
    split: Literal["validation", "test"],
    metric: str,
    ours: ClassScores,
    blocks: BlockCounts | None,
) -> Iterator[Contender]:
    """Yield the controls that have scores on a set of images."""
    reached = SELECTION_METRICS[metric].of_scores(ours.metrics)
    for control in controls:
        scores = getattr(control, split)
        if not scores:
            continue
        score, title = SELECTION_METRICS[metric].of_scores(scores.metrics), title_of_control(control)
        between = paired_interval(blocks, [scores.blocks], metric, scores.without)
        lead = Lead(metric, minus(reached, score), between)
        yield Contender(
            f"Control: {title}",
            "control",
            scores.ari,
            scores.mean_iou,
            score,
            lead,
            name=f"the control {title}",
        )
