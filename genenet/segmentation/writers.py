"""Locks of the jobs that fill one store: a share of the blocks has one writer, and all jobs have the same settings."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

from genenet.core.errors import InputError
from genenet.core.lock import exclusive
from genenet.core.lock_holder import living_holder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from genenet.core.lock import HeldLock


def writing(store: Path, fingerprint: str, part: int, n_parts: int) -> AbstractContextManager[HeldLock]:
    """Lock the ``part``-th of ``n_parts`` shares of a store; wait for another job that holds the lock."""
    return exclusive(store.with_name(f"{store.name}.{fingerprint[:8]}.{part}-of-{n_parts}.lock"))


def check_no_other_writer(store: Path, fingerprint: str) -> None:
    """Raise InputError if a running job fills the store with another fingerprint, since its blocks would be removed."""
    for lock in store.parent.glob(f"{glob.escape(store.name)}.????????.*-of-*.lock"):
        if lock.name.startswith(f"{store.name}.{fingerprint[:8]}."):
            continue
        if holder := living_holder(lock):
            raise InputError(
                f"{store}: another run is writing it, with another ensemble, image or settings ({holder}); "
                "wait until it has ended, or write elsewhere"
            )
