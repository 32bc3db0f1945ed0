"""One step of learning on one device: precision, forward, loss, backward, optimiser, weight average."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from genenet.networks.device import compute_type, is_out_of_memory
from genenet.training.losses import make_loss
from genenet.training.optimisation import WeightAverage, clip_gradient, make_optimiser, restore_optimiser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from genenet.config.training import Training
    from genenet.networks.network import Network


log = logging.getLogger(__name__)


class Learner:
    """A network and what changes its weights.

    Attributes:
        network: on the device, in the memory format that is fastest to train there.
        parts: 1, or 2 once a batch didn't fit in memory: then its halves' gradients are added up.
        average: of the weights, if the recipe wants one.
    """

    def __init__(
        self,
        network: Network,
        class_weights: Tensor,
        settings: Training,
        learning_rate: float,
        betas: tuple[float, float],
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        self.network = network.placed(device, to_train=True)
        self.forward = torch.compile(network, dynamic=False) if settings.compile else network
        self.type = compute_type(settings.precision, device)
        self.loss = make_loss(settings.loss, class_weights.to(device))
        self.optimiser = make_optimiser(
            network.parameters(), settings.optimiser, learning_rate, betas, device
        )
        decay = settings.optimiser.ema_decay
        self.average = None if decay is None else WeightAverage(network, decay)
        self.parts = 1

    def step(
        self, images: Tensor, labels: Tensor, weights: Tensor | None, learning_rate: float, seed: int
    ) -> Tensor:
        """Change the weights once; return the loss, a scalar on the device, penalties included.

        ``images`` (B, 1, Z, Y, X), ``labels`` and ``weights`` (B, Z', Y', X'). A batch that doesn't fit in memory
        is halved, from then on. That changes nothing but rounding, except that batch normalisation sees
        halves, dropout is drawn anew, and Dice is taken of each half.

        Raises:
            MemoryError, RuntimeError: If a half doesn't fit in memory either, as torch puts it.
        """
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        loss = self._gradient_in_parts(images, labels, weights, seed)
        clip_gradient(self.network.parameters(), self.settings.optimiser.gradient_clip)
        self.optimiser.step()
        if self.average:
            self.average.update(self.network)
        return loss

    def _gradient_in_parts(self, images: Tensor, labels: Tensor, weights: Tensor | None, seed: int) -> Tensor:
        buffers = {name: b.clone() for name, b in self.network.named_buffers()} if self.parts == 1 else {}
        try:
            return self._gradient(images, labels, weights, seed)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.parts > 1 or len(images) < 2:
                raise
            reason = str(error).splitlines()[0]
        log.warning(
            "a batch of %d doesn't fit in memory (%s); from here on it is done in two halves%s",
            len(images), reason, ", which batch normalisation sees apart" if buffers else "",
        )  # fmt: skip
        self.network.load_state_dict(buffers, strict=False)
        self.parts = 2
        self._forget_batch()
        return self._gradient(images, labels, weights, seed)

    def _forget_batch(self) -> None:
        """Let go of all that a step which failed still keeps in memory."""
        self.network.forget_activations()
        # what backward hadn't come to waits in autograd's queue, graph and all, until it is used again
        torch.zeros((), device=self.device, requires_grad=True).backward()  # type: ignore[no-untyped-call]
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _gradient(self, images: Tensor, labels: Tensor, weights: Tensor | None, seed: int) -> Tensor:
        """Leave the gradient in the parameters; return the loss."""
        torch.manual_seed(seed)  # dropout
        self.optimiser.zero_grad(set_to_none=True)
        whole, total = self.loss.total(labels, weights), torch.zeros((), device=self.device)
        for part in range(self.parts):
            cut = slice(part, None, self.parts)
            of_weights = None if weights is None else weights[cut]
            with self._precision():
                logits: Tensor = self.forward(images[cut])
            share = len(labels[cut]) / len(labels)
            loss = self.loss(logits, labels[cut], of_weights)
            if self.parts > 1:
                loss = loss * (self.loss.total(labels[cut], of_weights) / whole.clamp(min=1))
            loss = loss + share * self.network.penalty()
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _precision(self) -> AbstractContextManager[Any]:
        if self.type is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.type)

    @contextmanager
    def evaluated(self) -> Iterator[Network]:
        """Give the network as it is validated: as it will predict, with the averaged weights if there are."""
        self.network.placed(self.device).eval()
        try:
            with self.average.applied(self.network) if self.average else nullcontext():
                yield self.network
        finally:
            self.network.placed(self.device, to_train=True)

    def state(self) -> dict[str, Any]:
        """Return all that a checkpoint needs."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "parts": self.parts,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        restore_optimiser(self.optimiser, state["optimiser"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.parts = state["parts"]
