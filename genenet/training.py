"""Training one genome on one device, step by step, so that it can stop and go on anywhere.

What a step does depends on the seed and its iteration alone (patches, dropout), never on what ran before
in this process; so a training that was killed and goes on from a checkpoint ends with the same weights.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.random import SeedSequence
from torch.nn import functional as F

from genenet.inference import Normalisation, NormalisationRule, Predictor, to_uint8
from genenet.metrics import IGNORE, Contingency
from genenet.network import Network
from genenet.patches import PatchSampler, class_weights
from genenet.volume import ArrayVolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from genenet.config import Training
    from genenet.genome import Genome
    from genenet.plan import Plan
    from genenet.prepare import PreparedImage

VALIDATION_TILE = 512  # voxels along y and x; the result doesn't depend on it


@dataclass(frozen=True)
class LabelledArray:
    """An image in memory, (Z, Y, X), with labels of the same shape (IGNORE: not scored)."""

    name: str
    image: NDArray[np.generic]
    labels: NDArray[np.uint8]
    normalisation: Normalisation

    @classmethod
    def read(cls, image: PreparedImage, rule: NormalisationRule) -> LabelledArray:
        """Read a prepared image."""
        return cls(image.name, np.asarray(image.image), np.asarray(image.labels), rule.of(image.statistics))


@dataclass(frozen=True)
class Row:
    """A line of the history: the state at a validation."""

    iteration: int
    training_loss: float  # mean since the row before
    learning_rate: float
    validation_ari: float
    seconds: float  # of training and validation so far, over all attempts


class Diverged(Exception):
    """The loss isn't finite any more."""


class Trainer:
    """A network, its optimiser and all that has happened to them so far."""

    def __init__(
        self,
        genome: Genome,
        plan: Plan,
        train: list[LabelledArray],
        validation: list[LabelledArray],
        class_counts: Sequence[int],
        settings: Training,
        seed: int,
        device: torch.device,
    ) -> None:
        """Initialise at iteration 0.

        ``class_counts`` are the training images' voxels by class; ``seed`` is the search's, the genome's id
        makes it the genome's own.
        """
        self.settings, self.device, self.validation = settings, device, validation
        self.seed = (seed, int(genome.id, 16))
        net = genome.net
        self.learning_rate = 10 ** float(net.value("log_learning_rate"))
        self.decay = float(net.value("decay_rate")), net.integer("decay_steps")
        torch.manual_seed(self._torch_seed(0))
        self.network = Network(plan)
        self.predictor = Predictor.make([self.network], VALIDATION_TILE, device)
        betas = tuple(1 - 10 ** float(net.value(name)) for name in ("log_alpha1", "log_alpha2"))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, betas=betas)  # type: ignore[arg-type]
        images = [(i.normalisation.apply(i.image, 0), i.labels) for i in train]
        sizes = plan.input_size, plan.output_size
        self.sampler = PatchSampler.make(
            images, sizes, settings.batch_size, settings.augmentation.flips_and_turns, self.seed
        )
        weights = class_weights(np.asarray(class_counts), settings.loss.class_weight_exponent)
        self.class_weights = torch.from_numpy(weights).to(device)
        self.iteration = 0
        self.seconds = 0.0
        self.history: list[Row] = []
        self.losses = 0.0  # sum since the last row
        self.best: dict[str, Tensor] = {}

    def run(self) -> Iterator[None]:
        """Train to the end, pausing after each iteration; raises Diverged."""
        while self.iteration < self.settings.iterations:
            began = time.monotonic()
            self.step()
            if self.iteration % self.settings.validation_interval == 0 or self.is_done:
                self.validate()
            self.seconds += time.monotonic() - began
            yield

    @property
    def is_done(self) -> bool:
        """Whether all iterations are done."""
        return self.iteration >= self.settings.iterations

    @property
    def best_row(self) -> Row:
        """The validation with the highest ARI, the first of equals."""
        return max(self.history, key=lambda row: row.validation_ari)

    def current_learning_rate(self) -> float:
        """Return the learning rate of the next step: exponential decay."""
        rate, steps = self.decay
        return float(self.learning_rate * rate ** (self.iteration / steps))

    def step(self) -> None:
        """Do one iteration."""
        self.network.train()
        torch.manual_seed(self._torch_seed(self.iteration + 1))  # dropout
        images, labels = (
            torch.from_numpy(np.ascontiguousarray(a)) for a in self.sampler.batch(self.iteration)
        )
        images = images.to(self.device, memory_format=torch.channels_last)
        for group in self.optimiser.param_groups:
            group["lr"] = self.current_learning_rate()
        loss = self._loss(self.network(images), labels.to(self.device).long()) + self.network.penalty()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        value = loss.item()
        self.iteration += 1
        if not np.isfinite(value):
            raise Diverged(f"the loss was {value} at iteration {self.iteration}")
        self.losses += value

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the class-weighted cross-entropy, a mean over the voxels that aren't ignored."""
        total = F.cross_entropy(logits, labels, self.class_weights, ignore_index=IGNORE, reduction="sum")
        return total / (labels != IGNORE).sum().clamp(min=1)

    def validate(self) -> None:
        """Score the validation images, add a row to the history, keep the weights if they are the best."""
        contingency = Contingency.empty(self.network.plan.n_classes)
        for image in self.validation:
            for z, probabilities in self.predict(image):
                contingency.add(image.labels[z : z + 1], probabilities.argmax(axis=0))
        last = self.history[-1].iteration if self.history else 0
        self.history.append(
            Row(
                iteration=self.iteration,
                training_loss=self.losses / max(1, self.iteration - last),
                learning_rate=self.current_learning_rate(),
                validation_ari=contingency.adjusted_rand_index,
                seconds=round(self.seconds, 3),
            )
        )
        self.losses = 0.0
        if self.best_row is self.history[-1]:
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def predict(self, image: LabelledArray) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield z and the probabilities (C, 1, Y, X) of each slice, in the 255 steps that they are kept in."""
        self.network.eval()
        for z, probabilities in self.predictor.slices(
            ArrayVolume(image.image, image.name), image.normalisation
        ):
            yield z, to_uint8(probabilities)

    def use_best(self) -> None:
        """Go back to the best weights."""
        self.network.load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        """Return all that a checkpoint needs."""
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "losses": self.losses,
            "history": [asdict(row) for row in self.history],
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.iteration, self.seconds, self.losses = state["iteration"], state["seconds"], state["losses"]
        self.history = [Row(**row) for row in state["history"]]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = {name: tensor.to(self.device) for name, tensor in state["best"].items()}

    def _torch_seed(self, stream: int) -> int:
        return int(
            SeedSequence(self.seed, spawn_key=(1, stream)).generate_state(1, np.uint64)[0] >> np.uint64(1)
        )
