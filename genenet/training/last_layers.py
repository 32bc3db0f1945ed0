"""Trains the last layers of a network on a few labelled crops of another volume; all other layers stay as they are.

The loss is the mean surprise -log p of the true classes, plus the squared distance from the old weights (L2-SP, Li,
Grandvalet and Davoine 2018). p is the probability among the classes that the crops show: else a class that none shows
would be unlearnt, which the distance alone doesn't prevent. For the same reason a class of which they show little
counts more: its weight is 1 / √(its voxels). A border of objects counts as its class, since crops are labelled with
classes.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from numpy.random import PCG64, Generator, SeedSequence
from torch import Tensor
from torch.nn import functional as F

from genenet.core.ignore import IGNORE
from genenet.core.random_streams import Stream

if TYPE_CHECKING:
    from genenet.core.outputs import Outputs
    from genenet.networks.last_layers import Piece
    from genenet.networks.network import Network

State = dict[str, Tensor]  # of the layers that are trained, by their names in the state of the network

HEAD_L2 = 0.6  # weight of the squared distance, for features that vary by 1; divided by the number of crops
HEAD_STEPS = 40  # of L-BFGS, at most
STACK_L2 = 1e-2
STACK_STEPS = 20
STACK_RATE = 1e-3  # learning rate of Adam
STACK_BATCH = 4  # pieces of a step
HEAD_VOXELS = 2**16  # on which the head is trained, at most


@dataclass(frozen=True)
class LastLayers(ABC):
    """Layers of one network that can be trained on some crops, and tell the classes of the voxels of any of them.

    Attributes:
        network: in evaluation mode.
        crops: the pieces of each crop.
        outputs: what the outputs of the network mean.
        seed: of what is drawn.
    """

    network: Network
    crops: Sequence[Sequence[Piece]]
    outputs: Outputs
    seed: int = 0

    @abstractmethod
    def fit(self, crops: Sequence[int]) -> State:
        """Return the layers, trained on these crops."""

    @abstractmethod
    def probabilities(self, crop: int, state: State) -> Tensor:
        """Return the class probabilities (C, N) of a crop's labelled voxels; an empty state is that of the network."""


@dataclass(frozen=True)
class LastConvolution(LastLayers):
    """The head, a 1×1 convolution: a multinomial logistic regression on features that are computed once.

    If the crops have more than HEAD_VOXELS voxels, some are drawn.
    """

    @cached_property
    def _features(self) -> list[Tensor]:
        """The features (C, N) of the labelled voxels of each crop."""
        with torch.no_grad():
            return [
                torch.cat([_known(p.features(self.network), p) for p in of_crop], dim=1)
                for of_crop in self.crops
            ]

    @cached_property
    def _truths(self) -> list[Tensor]:
        return [truth_of(of_crop) for of_crop in self.crops]

    def fit(self, crops: Sequence[int]) -> State:
        """Return weight and bias of the head; the penalty counts a weight as much as its feature varies."""
        x = torch.cat([self._features[i] for i in crops], dim=1)
        truth = torch.cat([self._truths[i] for i in crops])
        if len(truth) > HEAD_VOXELS:
            drawn = torch.from_numpy(_generator(self.seed).choice(len(truth), HEAD_VOXELS, replace=False))
            x, truth = x[:, drawn], truth[drawn]
        shown = TaughtClasses.of(truth)
        centre, scale = x.mean(dim=1), x.std(dim=1, correction=0)
        scale = scale.clamp(min=1e-3 * float(scale.max()) + 1e-12)
        x = (x - centre[:, None]) / scale[:, None]
        kernel, bias = _kernel(self.network), self._bias
        old = kernel * scale, bias + kernel @ centre
        weight, offset = (each.clone().requires_grad_() for each in old)
        optimiser = torch.optim.LBFGS(
            [weight, offset], max_iter=HEAD_STEPS, history_size=10, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimiser.zero_grad()
            logits = torch.addmm(offset[:, None], weight, x)
            value = shown.surprise(class_logs(logits, self.outputs), truth)
            value = value + HEAD_L2 / len(crops) * (
                (weight - old[0]).square().sum() + (offset - old[1]).square().sum()
            )
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(loss)  # type: ignore[no-untyped-call]
        new = weight.detach() / scale
        moved = offset.detach() - new @ centre
        return {"head.weight": new.view_as(self.network.head.weight), "head.bias": moved}

    @property
    def _bias(self) -> Tensor:
        bias = self.network.head.bias
        assert isinstance(bias, Tensor)
        return bias.detach()

    @torch.no_grad()
    def probabilities(self, crop: int, state: State) -> Tensor:
        """Return the class probabilities (C, N) of a crop's labelled voxels."""
        weight = state["head.weight"].flatten(1) if state else _kernel(self.network)
        bias = state["head.bias"] if state else self._bias
        logits = torch.addmm(bias[:, None], weight, self._features[crop])
        return class_logs(logits, self.outputs).exp()


@dataclass(frozen=True)
class LastStack(LastLayers):
    """The last stack and the head, trained by Adam on the pieces in an order that is drawn."""

    def fit(self, crops: Sequence[int]) -> State:
        """Return the weights of the last stack and the head."""
        network = copy.deepcopy(self.network)
        names = _names_of_last_stack(network)
        trained = {name: p for name, p in network.named_parameters() if name.startswith(names)}
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        old = {name: p.detach().clone() for name, p in trained.items()}
        pieces = [piece for i in crops for piece in self.crops[i] if (piece.labels != IGNORE).any()]
        shown = TaughtClasses.of(torch.cat([truth_of(self.crops[i]) for i in crops]))
        optimiser = torch.optim.Adam(trained.values(), lr=STACK_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STACK_STEPS)
        for batch in self._batches(pieces):
            optimiser.zero_grad()
            counts = [int((piece.labels != IGNORE).sum()) for piece in batch]
            for piece, count in zip(batch, counts, strict=True):
                (self._loss(network, piece, shown) * (count / sum(counts))).backward()  # type: ignore[no-untyped-call]
            change = torch.stack([(p - old[name]).square().sum() for name, p in trained.items()]).sum()
            (STACK_L2 * change).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        return {name: parameter.detach() for name, parameter in trained.items()}

    def _loss(self, network: Network, piece: Piece, shown: TaughtClasses) -> Tensor:
        x = _known(piece.features(network), piece)
        logits = torch.addmm(network.head.bias[:, None], network.head.weight.flatten(1), x)
        return shown.surprise(class_logs(logits, self.outputs), truth_of([piece]))

    def _batches(self, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
        rng, order = _generator(self.seed), list[int]()
        for _ in range(STACK_STEPS):
            while len(order) < STACK_BATCH:
                order += rng.permutation(len(pieces)).tolist()
            batch, order = order[:STACK_BATCH], order[STACK_BATCH:]
            yield [pieces[i] for i in batch]

    @torch.no_grad()
    def probabilities(self, crop: int, state: State) -> Tensor:
        """Return the class probabilities (C, N) of a crop's labelled voxels."""
        network = self.network
        if state:
            network = copy.deepcopy(network)
            network.load_state_dict(state, strict=False)
        x = torch.cat([_known(piece.features(network), piece) for piece in self.crops[crop]], dim=1)
        logits = torch.addmm(network.head.bias[:, None], network.head.weight.flatten(1), x)
        return class_logs(logits, self.outputs).exp()


def truth_of(pieces: Sequence[Piece]) -> Tensor:
    """Return the classes (N,) of the labelled voxels of pieces, in order."""
    return torch.cat([piece.labels[piece.labels != IGNORE] for piece in pieces]).long()


def class_logs(logits: Tensor, outputs: Outputs) -> Tensor:
    """Return log class probabilities (C, N) of logits (outputs, N); a border of objects counts as its class.

    Classes are planes, since torch takes five times as long for rows of a few classes.
    """
    logs = logits.log_softmax(dim=0)
    if not outputs.objects:
        return logs
    borders = {of: border for border, of in outputs.borders}
    planes = [
        torch.logaddexp(logs[i], logs[borders[i]]) if i in borders else logs[i]
        for i in range(len(outputs.classes))
    ]
    return torch.stack(planes)


@dataclass(frozen=True)
class TaughtClasses:
    """The classes that labels show, in order, and the weight of each in the loss; the mean over the voxels is 1."""

    classes: Tensor
    weights: Tensor

    @classmethod
    def of(cls, truth: Tensor) -> TaughtClasses:
        """Return those of labels (N,)."""
        counts = torch.bincount(truth)
        classes = counts.nonzero().flatten()
        weights = counts[classes].float().rsqrt()
        return cls(classes, weights * len(truth) / (weights * counts[classes]).sum())

    def surprise(self, logs: Tensor, truth: Tensor) -> Tensor:
        """Return the weighted mean surprise of true classes (N,), of log probabilities (C, N) of all classes."""
        places = torch.searchsorted(self.classes, truth)
        total = F.cross_entropy(logs[self.classes][None], places[None], self.weights, reduction="sum")
        return total / len(truth)


def _known(features: Tensor, piece: Piece) -> Tensor:
    """Return the features (C, N) of the voxels (B, C, …) of a piece whose class is known."""
    known: Tensor = features.movedim(1, 0)[:, piece.labels != IGNORE]
    return known


def _generator(seed: int) -> Generator:
    return Generator(PCG64(SeedSequence(seed, spawn_key=(Stream.ADAPTATION,))))


def _kernel(network: Network) -> Tensor:
    weight = network.head.weight
    assert isinstance(weight, Tensor)
    return weight.detach().flatten(1)


def _names_of_last_stack(network: Network) -> tuple[str, ...]:
    """Return the beginnings of the names of the parameters of the last stack and the head."""
    n = len(network.plan.stacks[-1].layers)
    return ("head.", *(f"layers.{name}." for name in list(network.layers)[-n:]))
