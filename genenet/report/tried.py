"""What an ensemble was tried on, and which volumes differ from that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.volumes.grid import size_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.tested import ScoresOnTestImages


def tried_on(
    ensemble: EnsembleDescription, test: ScoresOnTestImages | None, warnings: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return sentences that say what an ensemble was tried on, what it wasn't, and which volumes differ from it.

    Args:
        ensemble: the description; older versions say less.
        test: scores on the test images, if there are any.
        warnings: of each segmented volume, by its name.
    """
    found = [_other_images(ensemble, test), _known(ensemble), _volumes(ensemble, warnings)]
    return [sentence for sentence in found if sentence]


def _other_images(ensemble: EnsembleDescription, test: ScoresOnTestImages | None) -> str:
    """Say whether the ensemble was tried on an image that no network learned from."""
    files = {_file(image.name) for image in ensemble.reference.images} if ensemble.reference else set()
    trained = files - {_file(name) for name in ensemble.selected_on} | _shared(ensemble)
    if test:
        known = [name for name in test.volumes if _file(name) in trained]
        text = "It wasn't tried on another image: all test images are regions of images that also train."
        return text if trained and len(known) == len(test.volumes) else ""
    if trained and all(_file(name) in trained for name in ensemble.selected_on):
        return (
            "It wasn't tried on another image: the validation images are regions of images that also train, and there "
            "are no test images (data.test)."
        )
    return "It wasn't tried on an image on which nothing was chosen: there are no test images (data.test)."


def _shared(ensemble: EnsembleDescription) -> set[str]:
    """Return the files of which one region validates, and another region trains."""
    images = ensemble.reference.images if ensemble.reference else []
    others = {_file(image.name) for image in images if image.name not in ensemble.selected_on}
    return others & {_file(name) for name in ensemble.selected_on}


def _file(name: str) -> str:
    """Return the file in the name of a prepared image, which may end with a region in brackets."""
    return name.partition("[")[0]


def _known(ensemble: EnsembleDescription) -> str:
    """Say what its images are like."""
    reference = ensemble.reference
    if reference is None or not reference.images:
        return ""
    low = min(image.quantiles[1] for image in reference.images)
    high = max(image.quantiles[-2] for image in reference.images)
    types = f" of {' and '.join(ensemble.dtypes)}" if ensemble.dtypes else ""
    doubt = (
        reference.validation and f"; mean uncertainty on validation {reference.validation.uncertainty:.2f}"
    )
    return (
        f"Its {len(reference.images)} labelled images have voxels{types} of {size_text(ensemble.voxel_size_nm)} nm "
        f"(z, y, x), and normalised grey values from {low:.1f} to {high:.1f} (5 to 95 %){doubt or ''}."
    )


def _volumes(ensemble: EnsembleDescription, warnings: Mapping[str, Sequence[str]]) -> str:
    """Say which volumes differ; the warnings themselves stand beside their pictures."""
    if not warnings:
        return ""
    differ = [name for name, lines in warnings.items() if lines]
    if differ:
        return f"Segmented volumes that differ from these images, as said beside their pictures: {', '.join(differ)}."
    return "No segmented volume was found to differ from these images." if ensemble.reference else ""
