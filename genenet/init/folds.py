"""Cross-validation in ``genenet init``: the parts of all folds, and whether folds would score more classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from genenet.config.folds import Folds, dealt
from genenet.config.presets import preset_regions
from genenet.core.choices import listed
from genenet.core.errors import InputError
from genenet.init.parts import Offer, Part, Split
from genenet.init.sizes import PRESET
from genenet.init.survey import SMALLEST
from genenet.volumes.folds import Slabs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genenet.init.classes import Classes
    from genenet.init.survey import LabelledLook

MOST = 5  # folds that are offered, as nnU-Net has them


def in_folds(train: Sequence[LabelledLook], n: int, classes: Classes) -> Split:
    """Return all images as training and validation images of n folds.

    Raises:
        InputError: If an image is too small for so many slabs, or a fold has fewer than two classes.
    """
    whole = [Part.whole(look) for look in train]
    parts = Split(whole, whole, folds=_folds(train, n))
    for fold, counts in enumerate(parts.counts_of_folds(classes)):
        if (counts > 0).sum() < 2:
            use = "give fewer folds, which are larger" if n > 2 else "leave --folds out"
            raise InputError(
                f"--folds {n}: the labels of fold {fold} show fewer than two classes, so that no ARI is defined there; "
                f"{use}"
            )
    return replace(parts, notes=list(_notes(parts, classes)))


def _folds(train: Sequence[LabelledLook], n: int) -> list[list[Part]]:
    """Return what each fold validates on: images of its own, or a slab of each image."""
    sources = [str(look.image.path) for look in train]
    if Folds(n=n).plan(sources).by == "image":
        of_images = dealt(sources, n)
        return [
            [Part.whole(look) for look, own in zip(train, of_images, strict=True) if own == fold]
            for fold in range(n)
        ]
    cuts = [_slabs(look, n) for look in train]
    return [
        [Part.between(look, cut.axis, *cut.ends[fold]) for look, cut in zip(train, cuts, strict=True)]
        for fold in range(n)
    ]


def _slabs(look: LabelledLook, n: int) -> Slabs:
    """Cut an image; raises InputError if it is too small."""
    slabs = Slabs([(0, size) for size in look.image.shape], n, SMALLEST)
    if slabs.n_fitting < n:
        raise InputError(
            f"--folds {n}: {look.image.path} is too small for {n} slabs; {max(1, slabs.n_fitting)} would fit"
        )
    return slabs


def _notes(parts: Split, classes: Classes) -> Iterator[str]:
    """Yield which classes no network can find, since the only fold that has them doesn't learn from them."""
    if lost := parts.lost(classes):
        them = "it" if len(lost) == 1 else "them"
        where = "in one" if len(lost) == 1 else "each in one"
        yield (
            f"{listed(lost)}: {where} of the {parts.n_folds} folds only, so the networks that are scored there haven't "
            f"learnt {them}"
        )


def offer(train: Sequence[LabelledLook], parts: Split, classes: Classes) -> Offer | None:
    """Return the folds that would learn and score most classes that the split loses; None if there are none.

    Of the numbers of folds that do, it is the largest. A slab holds a patch of the preset, unless there are two slabs.
    """
    lost = parts.lost(classes)
    found = [(folds.lost(classes), folds.n_folds) for folds in _possible(train, classes)] if lost else []
    if not found:
        return None
    still, n = min(found, key=lambda each: (len(each[0]), -each[1]))
    gained = [name for name in lost if name not in still]
    return Offer(n, gained) if len(still) < len(lost) and gained else None


def _possible(train: Sequence[LabelledLook], classes: Classes) -> Iterator[Split]:
    """Yield the images in each number of folds that they allow."""
    patch = preset_regions(PRESET, {})["net"]["input_size"][1]
    for n in range(2, MOST + 1):
        try:
            parts = in_folds(train, n, classes)
        except InputError:
            continue
        sides = [[min(part.shape[1:]) for part in each] for each in (parts.train, parts.pieces)]
        if n == 2 or min(sides[1]) >= min(patch, *sides[0]):
            yield parts


def offer_text(offered: Offer) -> str:
    """Return what cross-validation would gain and cost."""
    them = "it" if len(offered.gained) == 1 else "them"
    effect = f"so that the search takes {offered.n} times as long"
    if not offered.is_longer:
        effect = "for fewer iterations each, so that the search takes no longer"
    return (
        f"{listed(offered.gained)}: cross-validation would learn and score {them} ({offered.n} folds). Each network is "
        f"then trained {offered.n} times, {effect}"
    )
