"""Trains one genome on one device, step by step, so that it can stop and continue anywhere.

The random numbers of a step (patches, dropout) depend only on the seed and its iteration, never on what ran before in
this process; so a training that was killed and continues from a checkpoint ends with the same weights.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.random import SeedSequence

from genenet.config.selection_metrics import SELECTION_METRICS
from genenet.core.outputs import Outputs
from genenet.core.random_streams import Stream
from genenet.metrics.contingency import Contingency
from genenet.networks.network import Network
from genenet.networks.predictor import Predictor
from genenet.training.augmentation import Augmenter
from genenet.training.deep_supervision import SupervisedNetwork
from genenet.training.feed import make_feed
from genenet.training.inheritance import begin_with
from genenet.training.learner import Learner
from genenet.training.memory import step_bytes, tile_bytes
from genenet.training.optimisation import is_patient
from genenet.training.patches import PatchSampler, class_weights
from genenet.training.prepared_images import LabelledArray, border_maps
from genenet.training.probabilities import to_uint8
from genenet.training.schedules import TrainingStep, learning_rate
from genenet.training.scores import Inherited
from genenet.volumes.base import ArrayVolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from genenet.config.training import Training
    from genenet.genes.genome import Genome
    from genenet.genes.plan import Plan
    from genenet.training.parent import Parent

UNCHECKED = 20  # iterations on a GPU whose losses are read together, since reading waits for the GPU


@dataclass(frozen=True)
class Row:
    """A line of the history: the state at a validation."""

    iteration: int
    training_loss: float  # mean since the row before
    learning_rate: float
    validation_ari: float
    seconds: float  # of training and validation up to this iteration, over all attempts
    validation_mean_iou: float = math.nan  # checkpoints of version 0.1 don't hold it

    def score(self, metric: str) -> float:
        """Return the validation score by a metric of SELECTION_METRICS; nan if it isn't defined."""
        scores = {"ari": self.validation_ari, "mean_iou": self.validation_mean_iou}
        value = SELECTION_METRICS[metric].of_scores(scores)
        return math.nan if value is None else value


class Diverged(Exception):
    """The loss or the network's output is no longer finite."""


class Trainer:
    """A network, its optimiser and the history of their training."""

    def __init__(
        self,
        genome: Genome,
        plan: Plan,
        train: list[LabelledArray],
        validation: list[LabelledArray],
        output_counts: Sequence[int],
        settings: Training,
        seed: int,
        device: torch.device,
        repeat: int = 1,
        parent: Parent | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        """Initialise at iteration 0.

        ``output_counts`` are the labelled voxels of each output in the training images. ``seed`` is the search's. It
        seeds this training together with the genome's id and ``repeat``, the number among trainings of one genome. The
        network begins with the weights of ``parent``, if there is one. ``outputs`` says which are borders of objects;
        None: each is a class.
        """
        self.settings, self.device, self.validation = settings, device, validation
        self.outputs = outputs or Outputs(list(map(str, range(plan.n_classes))))
        self.seed = (seed, int(genome.id, 16), repeat)
        self.base_rate = 10 ** float(genome.net.value("log_learning_rate"))
        self.decay = float(genome.net.value("decay_rate")), genome.net.integer("decay_steps")
        weights = class_weights(np.asarray(output_counts), settings.loss.class_weight_exponent)
        torch.manual_seed(self._torch_seed(Stream.WEIGHTS_AND_DROPOUT, 0))
        self.network = Network(plan)
        self.inherited = (
            begin_with(parent, self.network, self._torch_seed(Stream.INHERITED_WEIGHTS, 0), self.outputs)
            if parent
            else None
        )
        self.predictor = Predictor(
            [self.network], device, threads=settings.threads, memory_bytes=tile_bytes(device)
        )
        # The learner comes after the predictor, which places the network for prediction
        self.learner = self._learner(genome, torch.from_numpy(weights))
        self.sampler = self._sampler(train, plan, float(weights[0]))
        self.feed = make_feed(self.sampler, device, step_bytes(plan, settings, device))
        self.augment = Augmenter(settings.augmentation)
        self.iteration = 0
        self.seconds = 0.0
        self.history: list[Row] = []
        self.losses = 0.0  # sum since the last row
        self.unchecked: list[Tensor] = []  # losses that haven't been read yet
        self.best: dict[str, Tensor] = {}

    def _learner(self, genome: Genome, weights: Tensor) -> Learner:
        net, settings = genome.net, self.settings
        betas = 1 - 10 ** float(net.value("log_alpha1")), 1 - 10 ** float(net.value("log_alpha2"))
        heads_seed = self._torch_seed(Stream.DEEP_SUPERVISION, 0)
        supervised = SupervisedNetwork(self.network, settings.deep_supervision, heads_seed)
        return Learner(supervised, weights, settings, self.base_rate, betas, self.device)

    def _sampler(self, train: list[LabelledArray], plan: Plan, background_weight: float) -> PatchSampler:
        settings = self.settings
        # equation 2 adds the border weight to the class's weight, but the loss multiplies the two
        border = settings.loss.border_weight / (background_weight or 1.0)
        return PatchSampler.make(
            train,
            (plan.input_shape, plan.output_shape),
            settings.batch_size,
            settings.augmentation.flips_and_turns,
            self.seed,
            settings.sampling.rare_classes,
            border_maps(train, border, settings.loss.border_sigma_voxels) if border else None,
        )

    def run(self, until: int | None = None) -> Iterator[None]:
        """Train to the end, or until an iteration, pausing after each one; raises Diverged."""
        self.learner.decide(self._batch, self.current_learning_rate(), self.settings.iterations)
        if self.inherited and self.inherited.is_whole and not (self.iteration or self.history):
            self.validate()  # the weights that it begins with are kept unless the training finds better ones
        while not self.is_done_until(until):
            began = time.monotonic()
            self.step()
            if self.iteration % self.settings.validation_interval == 0 or self.is_done:
                self.validate()
            self.seconds += time.monotonic() - began
            yield

    @property
    def is_done(self) -> bool:
        """Whether all iterations are done, or the patience is over."""
        stopping = self.settings.stopping
        if self.iteration >= self.settings.iterations or stopping.patience is None:
            return self.iteration >= self.settings.iterations
        return not is_patient([row.score(stopping.metric) for row in self.history], stopping.patience)

    def is_done_until(self, iteration: int | None) -> bool:
        """Whether the training has reached an iteration or its end; None is the end."""
        return self.is_done or (iteration is not None and self.iteration >= iteration)

    @property
    def chosen_row(self) -> Row:
        """The validation whose weights are kept: the first one with the highest score, or the last one."""
        stopping = self.settings.stopping
        if stopping.weights == "last":
            return self.history[-1]
        return max(self.history, key=lambda row: row.score(stopping.metric))

    def current_learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        settings = self.settings
        step = TrainingStep(self.iteration, settings.iterations, self.base_rate, *self.decay)
        return learning_rate(settings.schedule, step)

    def step(self) -> None:
        """Do one iteration."""
        rate = self.current_learning_rate()
        seed = self._torch_seed(Stream.WEIGHTS_AND_DROPOUT, self.iteration + 1)
        loss = self.learner.step(*self._batch(), rate, seed)
        self.iteration += 1
        self.unchecked.append(loss)
        if self.device.type == "cpu" or len(self.unchecked) >= UNCHECKED:
            self.check_losses()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return this iteration's images, labels and weights on the device, augmented."""
        images, labels, weights = self.feed.batch(self.iteration)
        if self.augment.is_identity:
            return images, labels, weights
        return self.augment(
            images, labels, weights, self._torch_seed(Stream.AUGMENTATION, self.iteration + 1)
        )

    def check_losses(self) -> None:
        """Read the losses of the last iterations; raises Diverged if one isn't finite."""
        values = torch.stack(self.unchecked).tolist() if self.unchecked else []
        first = self.iteration - len(values) + 1
        self.unchecked = []
        for iteration, value in enumerate(values, first):
            if not math.isfinite(value):
                raise Diverged(f"the loss was {value} at iteration {iteration}")
            self.losses += value

    def validate(self) -> None:
        """Score the validation images, add a row to the history, and keep the weights if they are the best."""
        self.check_losses()
        contingency = Contingency.empty(len(self.outputs.classes))
        with self.learner.evaluated() as network:
            for image in self.validation:
                for z, probabilities in self.predict(image):
                    classes = self.outputs.semantic(probabilities).argmax(axis=0)
                    contingency.add(image.labels[z : z + 1], classes)
            weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        last = self.history[-1].iteration if self.history else 0
        self.history.append(
            Row(
                iteration=self.iteration,
                training_loss=self.losses / max(1, self.iteration - last) if self.iteration else math.nan,
                learning_rate=self.current_learning_rate(),
                validation_ari=contingency.adjusted_rand_index,
                seconds=round(self.seconds, 3),
                validation_mean_iou=contingency.mean_iou,
            )
        )
        self.losses = 0.0
        if self.chosen_row is self.history[-1]:
            self.best = weights

    def predict(self, image: LabelledArray) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield z and the outputs' probabilities (C, 1, Y, X) of each slice, in the 255 levels that are stored.

        Raises:
            Diverged: If they aren't finite. The last step can cause that without any loss having shown it.
        """
        self.network.eval()
        volume, norm = ArrayVolume(image.image, image.name), image.normalisation
        predictor = self.predictor.for_volume(volume, norm, image.inside)
        for z, probabilities in predictor.slices(volume, norm):
            if not np.isfinite(probabilities).all():
                raise Diverged(f"the network's output isn't finite after iteration {self.iteration}")
            yield z, to_uint8(probabilities)

    def use_best(self) -> None:
        """Load the weights of the chosen validation, to predict with them."""
        self.network.placed(self.device).load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        self.check_losses()
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "losses": self.losses,
            "history": [asdict(row) for row in self.history],
            "learner": self.learner.state(),
            "best": self.best,
            **({"inherited": self.inherited.model_dump()} if self.inherited else {}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.iteration, self.seconds, self.losses = state["iteration"], state["seconds"], state["losses"]
        self.history = [Row(**row) for row in state["history"]]
        self.learner.restore(state["learner"])
        self.best = {name: tensor.to(self.device) for name, tensor in state["best"].items()}
        self.inherited = Inherited(**state["inherited"]) if "inherited" in state else None

    def _torch_seed(self, stream: Stream, step: int) -> int:
        """Return a seed of torch's generators for a step; step 0 initialises the weights."""
        sequence = SeedSequence(self.seed, spawn_key=(stream, step))
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
