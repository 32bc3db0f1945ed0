"""Shows a segmentation in napari, an optional dependency: ``pip install genenet[napari]``."""

from __future__ import annotations

import logging
import os
import sys
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genenet.config.settings import ImageFiles
from genenet.core.errors import InputError
from genenet.segmentation.marks import MOST_CONTACTS
from genenet.segmentation.napari_layers import napari_layers
from genenet.segmentation.shown import read_shown
from genenet.volumes.opening import open_files, open_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genenet.segmentation.marks import MarkedContact
    from genenet.segmentation.napari_layers import LayerData
    from genenet.segmentation.shown import Shown
    from genenet.volumes.base import Volume
    from genenet.volumes.ome_zarr import Store

log = logging.getLogger(__name__)

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def open_napari(
    store: Path,
    image: Sequence[Path] = (),
    *,
    boxes: Path | None = None,
    most_contacts: int = MOST_CONTACTS,
    show: bool = True,
) -> Any:
    """Open a segmentation in napari; return its viewer.

    Args:
        store: a segmentation that genenet made.
        image: the files of the segmented image, of any format that genenet reads; by default those that were segmented,
            if they are still there.
        boxes: a folder of boxes to show, whose labels can be edited.
        most_contacts: that are shown of each class of objects, the most doubtful ones.
        show: whether the window is shown.

    Raises:
        InputError: If napari isn't installed, there is no screen, or a file can't be read.
    """
    shown = read_shown(store, boxes, most_contacts)
    layers = napari_layers(shown, image_of(shown.store, image), boxes)
    if sys.platform == "linux" and not any(map(os.environ.get, _SCREENS)):
        raise InputError(
            "napari needs a screen, and none is there; without --napari, genenet view needs a browser only"
        )
    try:
        import napari

        viewer = napari.Viewer(title=store.name, show=show)
    except ImportError:  # napari itself, or Qt, without which it has no window
        raise InputError("genenet view --napari needs napari; pip install 'genenet[napari]'") from None
    add_layers(viewer, shown, layers)
    return viewer


def image_of(store: Store, given: Sequence[Path] = ()) -> Volume | None:
    """Open the image of a segmentation: that of the given files, or the one that was segmented.

    Return None if the store doesn't say which one it was, or its files aren't there any more, which is logged.

    Raises:
        InputError: If a file can't be read.
    """
    if given:
        return open_volume(list(given))
    if not (source := store.attributes.get("source")):
        return None
    files = ImageFiles.model_validate({**source, "labels": None, "region": None, "mask": None})
    if missing := [path for path in files.image if not Path(path).exists()]:
        log.warning("%s: its image %s isn't there, and isn't shown; add --image", store.path, missing[0])
        return None
    return open_files(files).image


def run_napari() -> None:
    """Wait until napari's windows are closed."""
    import napari

    napari.run()


def add_layers(viewer: Any, shown: Shown, layers: Sequence[LayerData]) -> None:
    """Add layers to napari's viewer, which then shows the slice of the most doubtful contact.

    The key N moves to this contact, and then from one to the next.
    """
    from napari.layers import Layer

    for layer in layers:
        viewer.add_layer(Layer.create(*layer))
    # napari 0.9 has moved the scale bar into the canvas, and the camera into the scene
    overlays = viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer
    overlays.scale_bar.visible = True
    if not shown.by_risk:
        return
    turns = cycle(shown.by_risk)
    size, first = np.array(shown.store.voxel_size_nm), np.array(shown.store.translation_nm)

    def show_slice(contact: MarkedContact) -> None:
        viewer.dims.set_point(0, first[0] + round(contact.centre[0]) * size[0])

    def show_next(_: Any) -> None:
        contact = next(turns)
        show_slice(contact)
        getattr(viewer, "scene", viewer).camera.center = tuple(first + np.array(contact.centre) * size)
        viewer.status = f"objects {contact.objects[0]} and {contact.objects[1]}: risk {contact.risk:.2f}"

    show_slice(shown.by_risk[0])
    viewer.bind_key("n", show_next)
