"""One step of learning on one device: precision, forward, loss, backward, optimiser, weight average."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from genenet.core.errors import one_line
from genenet.networks.device import give_back_unused, is_out_of_memory
from genenet.training.arithmetic import Arithmetic
from genenet.training.compile_trial import decide, forget_compiled
from genenet.training.losses import make_loss
from genenet.training.optimisation import WeightAverage, clip_gradient, make_optimiser, restore_optimiser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from genenet.config.training import Training
    from genenet.networks.network import Network
    from genenet.training.deep_supervision import SupervisedNetwork, Target

    Batch = tuple[Tensor, Tensor, Tensor | None]  # images, labels, weights

log = logging.getLogger(__name__)


class Learner:
    """A network and what changes its weights.

    Attributes:
        network: on the device, in the memory format that is fastest for training there.
        supervised: the network with the heads of its training, if it has any.
        arithmetic: its precision, and whether it is compiled.
        replays: whether steps are replayed as a CUDA graph.
        must_replay: whether a failure of the graph is an error, as in the trial of ``compile: auto``. Otherwise the
            network is then computed uncompiled.
        parts: 1, or 2 after a batch didn't fit in memory; then the gradients of its halves are added.
        average: the moving average of the weights; None if the settings ask for none.
    """

    def __init__(
        self,
        supervised: SupervisedNetwork,
        class_weights: Tensor,
        settings: Training,
        learning_rate: float,
        betas: tuple[float, float],
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        self.supervised = supervised.placed(device)
        self.network = supervised.network
        self.parts = 1
        self.must_replay = False
        self.use(Arithmetic.of(settings, device))
        self.loss = make_loss(settings.loss, class_weights.to(device))
        self.optimiser = make_optimiser(
            supervised.parameters(), settings.optimiser, learning_rate, betas, device
        )
        decay = settings.optimiser.ema_decay
        self.average = None if decay is None else WeightAverage(self.network, decay)

    def use(self, arithmetic: Arithmetic) -> None:
        """Compute in this way from now on.

        Batches in two halves aren't replayed as a graph, which would overwrite the gradients of the first half.
        """
        self.arithmetic = arithmetic
        self.type = arithmetic.type
        self.replays = arithmetic.is_graph and self.device.type == "cuda" and self.parts == 1
        is_plain = arithmetic.is_graph and not self.replays
        self.forward = self.supervised if is_plain else arithmetic.forward(self.supervised)

    def decide(self, batch: Callable[[], Batch], learning_rate: float, iterations: int) -> None:
        """Decide by a trial whether the network is compiled, if that is still open.

        Args:
            batch: returns the first batch: images, labels and weights.
            learning_rate: of the first step.
            iterations: of the whole training.
        """
        if self.arithmetic.compiled is None:
            self.use(self.arithmetic.decided(decide(self, batch(), learning_rate, iterations)))

    def step(
        self, images: Tensor, labels: Tensor, weights: Tensor | None, learning_rate: float, seed: int
    ) -> Tensor:
        """Change the weights once; return the loss, a scalar on the device, penalties included.

        ``images`` (B, 1, Z, Y, X), ``labels`` and ``weights`` (B, Z', Y', X'). If a batch doesn't fit in memory, it and
        all later ones are computed in two halves. That changes only rounding, except that batch normalisation and
        Dice are computed for each half and dropout is drawn again. If a step can't be replayed as a graph, it and all
        later ones of this process are computed uncompiled, which changes only rounding.

        Raises:
            MemoryError, RuntimeError: If a half doesn't fit in memory either (torch raises either of them).
        """
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        loss = self._gradient_in_parts(images, labels, weights, seed)
        clip_gradient(self.supervised.parameters(), self.settings.optimiser.gradient_clip)
        self.optimiser.step()
        if self.average:
            self.average.update(self.network)
        return loss

    def _gradient_in_parts(self, images: Tensor, labels: Tensor, weights: Tensor | None, seed: int) -> Tensor:
        buffers = {name: b.clone() for name, b in self.network.named_buffers()} if self.parts == 1 else {}
        try:
            return self._gradient(images, labels, weights, seed)
        except Exception as error:
            simpler = self._simpler_after(error, len(images))
            if simpler is None:
                raise
            reason = one_line(error)
        simpler(len(images), reason)
        self.network.load_state_dict(buffers, strict=False)
        self._forget_batch()
        return self._gradient_in_parts(images, labels, weights, seed)

    def _simpler_after(self, error: Exception, batch_size: int) -> Callable[[int, str], None] | None:
        """Return what makes steps simpler after one has failed; None if that wouldn't help."""
        if is_out_of_memory(error):
            return self._halve if self.parts == 1 and batch_size > 1 else None
        return self._compute_uncompiled if self.replays and not self.must_replay else None

    def _halve(self, batch_size: int, reason: str) -> None:
        has_buffers = any(True for _ in self.network.buffers())
        log.warning(
            "a batch of %d doesn't fit in memory (%s); from now on batches are computed in two halves%s",
            batch_size, reason, ", and batch normalisation of each half" if has_buffers else "",
        )  # fmt: skip
        self.parts = 2
        if self.replays:
            self.use(self.arithmetic)
            forget_compiled()  # the graph's memory, which only the graph could use, is needed for the halves

    def _compute_uncompiled(self, _: int, reason: str) -> None:
        """Compute without a graph in this process, perhaps on a node without a compiler.

        The choice stays in the checkpoint, since it concerns only speed and rounding, and the next job may have a
        compiler. An error that has nothing to do with compiling occurs again, and is raised then.
        """
        log.warning(
            "compile: auto chose %s for this training, but that fails on this node (%s); "
            "this job computes the network uncompiled, which is slower and rounds differently",
            self.arithmetic.compiled, reason,
        )  # fmt: skip
        self.replays, self.forward = False, self.supervised
        forget_compiled()

    def _forget_batch(self) -> None:
        """Free all memory that a failed step still holds."""
        self.network.forget_activations()
        # autograd's queue keeps the unfinished part of backward, with its graph, until the next backward
        torch.zeros((), device=self.device, requires_grad=True).backward()  # type: ignore[no-untyped-call]
        give_back_unused(self.device)

    def _gradient(self, images: Tensor, labels: Tensor, weights: Tensor | None, seed: int) -> Tensor:
        """Compute the gradient into the parameters; return the loss."""
        torch.manual_seed(seed)  # dropout
        self.optimiser.zero_grad(set_to_none=True)
        if self.replays:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        targets, total = self.supervised.targets(labels, weights), torch.zeros((), device=self.device)
        for part in range(self.parts):
            cut = slice(part, None, self.parts)
            with self._precision():
                outputs: list[Tensor] = self.forward(images[cut])
            losses = [
                self._loss(logits, target, cut) for logits, target in zip(outputs, targets, strict=True)
            ]
            share = len(labels[cut]) / len(labels)
            loss = torch.stack(losses).sum() + share * self.network.penalty()
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _loss(self, logits: Tensor, target: Target, cut: slice) -> Tensor:
        """Return the loss of one output for a part of the batch; those of all parts and outputs are to be added."""
        part = target.part(cut)
        loss = self.loss(logits, part.labels, part.weights)
        if self.parts > 1:
            whole = self.loss.total(target.labels, target.weights).clamp(min=1)
            loss = loss * (self.loss.total(part.labels, part.weights) / whole)
        return target.share * loss

    def _precision(self) -> AbstractContextManager[Any]:
        if self.type is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.type)

    @contextmanager
    def evaluated(self) -> Iterator[Network]:
        """Yield the network in evaluation mode, with the averaged weights if there are any."""
        self.network.placed(self.device).eval()
        try:
            with self.average.applied(self.network) if self.average else nullcontext():
                yield self.network
        finally:
            self.network.placed(self.device, to_train=True)
            give_back_unused(self.device)  # large tiles took much more than steps do

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "heads": self.supervised.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "parts": self.parts,
            "arithmetic": self.arithmetic.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.network.load_state_dict(state["network"])
        self.supervised.heads.load_state_dict(state.get("heads", {}))  # version 0.1 had none
        restore_optimiser(self.optimiser, state["optimiser"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.parts = state["parts"]
        if "arithmetic" in state:  # earlier versions chose again
            self.use(Arithmetic.restored(state["arithmetic"]))
