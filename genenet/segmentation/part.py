"""A part of a segmentation as a job of the workflow, which retries it: every attempt is recorded beside the receipt.

A part of which three attempts in a row have added no block is given up. Its receipt says why, so that the workflow
continues to the export step, which fails with the reason (`genenet.segmentation.receipts.finished_store`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genenet.core.attempts import Attempts, Verdict
from genenet.core.errors import InputError
from genenet.core.lock import exclusive
from genenet.segmentation.job import share, size_and_time
from genenet.segmentation.receipts import Receipt
from genenet.volumes.ome_zarr import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genenet.config.stages import SegmentSettings

ATTEMPTS = 3  # in a row without a new block

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartOfSegmentation:
    """The ``part``-th (from 1) of ``n_parts`` shares of a volume's blocks.

    Attributes:
        settings: image and settings.
        ensemble: the ensemble's folder.
        store: the OME-Zarr that is filled.
        receipt: the JSON file to write; the record of attempts lies beside it.
        part: which share.
        n_parts: number of shares.
    """

    settings: SegmentSettings
    ensemble: Path
    store: Path
    receipt: Path
    part: int
    n_parts: int

    def run(self, segment: Callable[[], Receipt]) -> Receipt:
        """Make one attempt, unless earlier ones show that it is useless; return the receipt.

        Args:
            segment: segments the part.

        Raises:
            InputError, MachineError, Exception: What ended the attempt, if another one is worth it. The exit code is
                its ``status``.
        """
        done: list[Receipt] = []

        def work() -> bool:
            done.append(segment())
            return True

        record = self.receipt.with_suffix(".attempts.json")
        with exclusive(self.receipt.with_suffix(".lock")) as lock:
            attempts = Attempts(record, self._fingerprint(), lock.token, "block", ATTEMPTS)
            result = attempts.run(work, self._blocks(), self._blocks, self._blocks)
        if isinstance(result, Verdict):
            log.error("part %d of %d is %s: %s", self.part, self.n_parts, result.status, result.reason)
            return Receipt(status=result.status, reason=result.reason, part=self.part, n_parts=self.n_parts)
        return done[0]

    def _blocks(self) -> int:
        """Return how many blocks of the part are there."""
        if not self.store.exists():
            return 0
        try:
            store = open_store(self.store)
        except InputError:
            return 0
        return sum(store.has_block(block) for block in share(store.blocks, self.part, self.n_parts))

    def _fingerprint(self) -> str:
        """Return a hash of settings and of the files' sizes and times: if it changes, attempts are counted from 0."""
        files = [*self.settings.volume.all, self.ensemble / "ensemble.json"]
        stamps: list[Any] = [size_and_time(path) if path.exists() else None for path in files]
        parts = [self.settings.model_dump(mode="json"), stamps]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
