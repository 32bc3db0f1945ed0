"""Writes a training's history for TensorBoard, beside ``history.csv``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from genenet.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genenet.training.trainer import Row


class Board:
    """Writes new rows of the history. Each attempt writes all rows again, since the history holds all of them."""

    def __init__(self, folder: Path) -> None:
        """Empty the folder.

        Raises:
            InputError: If tensorboard isn't installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "training.tensorboard is on, but tensorboard isn't installed: pip install 'genenet[tensorboard]'"
            ) from None
        for old in folder.glob("events.*"):
            old.unlink()
        self._writer = SummaryWriter(str(folder))
        self._n_rows = 0

    def show(self, history: Sequence[Row]) -> None:
        """Write the rows that are new."""
        for row in history[self._n_rows :]:
            values = asdict(row)
            iteration = values.pop("iteration")
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)
        if len(history) > self._n_rows:
            self._writer.flush()
        self._n_rows = len(history)
