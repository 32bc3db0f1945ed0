"""A part of a segmentation as a job of the workflow, which retries it: every attempt is recorded beside the receipt.

A part of which three attempts in a row have added no block is given up. Its receipt says why, so that the workflow
continues to the export step, which fails with the reason (`genenet.segmentation.receipts.finished_store`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genenet.config.settings import SegmentSettings, read_settings
from genenet.core.attempts import Attempts, Verdict, fingerprint_of_files
from genenet.core.contents import checksum_of
from genenet.core.errors import InputError
from genenet.core.lock import exclusive
from genenet.segmentation.job import share, size_and_time
from genenet.segmentation.receipts import Receipt
from genenet.volumes.ome_zarr import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
ATTEMPTS = 3  # in a row without a new block

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartOfSegmentation:
    """The ``part``-th (from 1) of ``n_parts`` shares of a volume's blocks.

    Attributes:
        settings: image and settings, or the file that holds them.
        ensemble: the ensemble's folder.
        store: the OME-Zarr that is filled.
        receipt: the JSON file to write; the record of attempts lies beside it.
        part: which share.
        n_parts: number of shares.
    """

    settings: SegmentSettings | Path
    ensemble: Path
    store: Path
    receipt: Path
    part: int
    n_parts: int

    def run(self, segment: Callable[[SegmentSettings], Receipt]) -> Receipt:
        """Make one attempt, unless earlier ones show that it is useless; return the receipt.

        Args:
            segment: segments the part.

        Raises:
            InputError, MachineError, Exception: What ended the attempt, if another one is worth it. The exit code is
                its ``status``.
        """
        done: list[Receipt] = []
        with exclusive(self.receipt.with_suffix(".lock")) as lock:
            result = self._attempt(segment, done, lock.token)
        if isinstance(result, Verdict):
            log.error("part %d of %d is %s: %s", self.part, self.n_parts, result.status, result.reason)
            return Receipt(status=result.status, reason=result.reason, part=self.part, n_parts=self.n_parts)
        return done[0]

    def _attempt(
        self, segment: Callable[[SegmentSettings], Receipt], done: list[Receipt], token: str
    ) -> bool | Verdict:
        """Segment into ``done``."""
        record = self.receipt.with_suffix(".attempts.json")
        given = [
            self.ensemble / "ensemble.json",
            *([self.settings] if isinstance(self.settings, Path) else []),
        ]
        before = Attempts(record, fingerprint_of_files(given), token, "block", ATTEMPTS)
        ready = before.prepare(self._read)
        if isinstance(ready, Verdict):
            return ready
        settings, fingerprint, blocks = ready

        def work() -> bool:
            done.append(segment(settings))
            return True

        attempts = Attempts(record, fingerprint, token, "block", ATTEMPTS)
        return attempts.run(work, blocks, self._blocks, self._blocks)

    def _read(self) -> tuple[SegmentSettings, str, int]:
        """Return the settings, the fingerprint of attempts, and how many blocks are there."""
        settings = self.settings
        if isinstance(settings, Path):
            settings = read_settings(settings, SegmentSettings)
        return settings, self._fingerprint(settings), self._blocks()

    def _blocks(self) -> int:
        """Return how many blocks of the part are there."""
        if not self.store.exists():
            return 0
        try:
            store = open_store(self.store)
        except InputError:
            return 0
        return sum(store.has_block(block) for block in share(store.blocks, self.part, self.n_parts))

    def _fingerprint(self, settings: SegmentSettings) -> str:
        """Return a hash of settings and of the files' sizes and times: if it changes, attempts are counted from 0."""
        files = [*settings.volume.all, self.ensemble / "ensemble.json"]
        stamps: list[Any] = [size_and_time(path) if path.exists() else None for path in files]
        parts = [settings.model_dump(mode="json"), stamps]
        return checksum_of(parts)
