"""What an ensemble was tried on, and which volumes differ from that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genenet.core.choices import many
from genenet.volumes.grid import size_text
from genenet.volumes.region_names import file_and_region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genenet.ensembles.description import EnsembleDescription
    from genenet.ensembles.reference import Reference
    from genenet.ensembles.tested import ScoresOnTestImages


def not_tried(
    ensemble: EnsembleDescription, test: ScoresOnTestImages | None, warnings: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return what an ensemble wasn't tried on, as far as it is known.

    Args:
        ensemble: the description; older versions say less.
        test: scores on the test images, if there are any.
        warnings: of each segmented volume, by its name.
    """
    differ = [name for name, lines in warnings.items() if lines]
    volumes = f"Volumes such as {', '.join(differ)}, which differ from its labelled images." if differ else ""
    return [sentence for sentence in (_other_images(ensemble, test), volumes) if sentence]


def tried_on(ensemble: EnsembleDescription, warnings: Mapping[str, Sequence[str]]) -> list[str]:
    """Return sentences on the images that an ensemble has seen, and on volumes like them; none of older versions."""
    if ensemble.reference is None or not ensemble.reference.images:
        return []
    alike = [name for name, lines in warnings.items() if not lines]
    volumes = f"Segmented volumes that weren't found to differ: {', '.join(alike)}." if alike else ""
    return [sentence for sentence in (_known(ensemble, ensemble.reference), volumes) if sentence]


def _other_images(ensemble: EnsembleDescription, test: ScoresOnTestImages | None) -> str:
    """Say whether all images with scores are regions of images that train."""
    files = {_file(image.name) for image in ensemble.reference.images} if ensemble.reference else set()
    trained = files - {_file(name) for name in ensemble.selected_on} | _shared(ensemble)
    if test and (ensemble.n_folds or (ensemble.refit and ensemble.refit.refitted)):
        trained = files  # each validation image has trained the networks of other folds, or all new ones
    kind, names = ("test", test.volumes) if test else ("validation", ensemble.selected_on)
    if not trained or not all(_file(name) in trained for name in names):
        return ""
    return f"Another image: all {kind} images are regions of images that also train."


def _shared(ensemble: EnsembleDescription) -> set[str]:
    """Return the files of which one region validates, and another region trains."""
    images = ensemble.reference.images if ensemble.reference else []
    others = {_file(image.name) for image in images if image.name not in ensemble.selected_on}
    return others & {_file(name) for name in ensemble.selected_on}


def _file(name: str) -> str:
    """Return the file in the name of a prepared image, which may end with a region in brackets."""
    return file_and_region(name)[0]


def _known(ensemble: EnsembleDescription, reference: Reference) -> str:
    """Say what its images are like."""
    low = min(image.quantiles[1] for image in reference.images)
    high = max(image.quantiles[-2] for image in reference.images)
    types = f" of {' and '.join(ensemble.dtypes)}" if ensemble.dtypes else ""
    doubt = (
        reference.validation and f"; mean uncertainty on validation {reference.validation.uncertainty:.2f}"
    )
    return (
        f"{many(len(reference.images), 'labelled image')}: voxels{types} of {size_text(ensemble.voxel_size_nm)} nm "
        f"(z, y, x), normalised grey values from {low:.1f} to {high:.1f} (5 to 95 %){doubt or ''}."
    )
