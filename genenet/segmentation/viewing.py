"""Shows a segmentation in neuroglancer, an optional dependency: ``pip install genenet[view]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genenet.core.errors import InputError
from genenet.volumes.ome_zarr import LABELS, open_store
from genenet.volumes.palette import class_colours
from genenet.volumes.readers.zarr import open_zarr

if TYPE_CHECKING:
    from pathlib import Path


def view(store: Path, image: Path | None = None, address: str = "127.0.0.1") -> Any:
    """Serve a segmentation and neuroglancer's page; return its viewer, whose ``get_viewer_url`` is the page's address.

    Both are served until the process ends. Their addresses contain random tokens.

    Args:
        store: a segmentation that genenet made.
        image: the segmented image as OME-Zarr. It is shown below the labels in place of the uncertainty.
        address: the network interface; the default can be reached from this machine only.

    Raises:
        InputError: If neuroglancer isn't installed, or ``store`` or ``image`` can't be opened.
    """
    facts = open_store(store).attributes
    if image:
        open_zarr(image)
    try:
        import neuroglancer
        from neuroglancer.static_file_server import StaticFileServer
    except ImportError:
        raise InputError("genenet view needs neuroglancer; pip install 'genenet[view]'") from None

    def served(folder: Path) -> str:
        # Shards are read by ranges of bytes, which Python's own http.server doesn't support.
        return f"{StaticFileServer(str(folder.resolve()), address, daemon=True).url}/"

    neuroglancer.set_server_bind_address(address)
    viewer, url = neuroglancer.Viewer(), served(store)
    colours = dict(enumerate("#{:02x}{:02x}{:02x}".format(*c) for c in class_colours(len(facts["classes"]))))
    z, y, x = facts["voxel_size_nm"]
    with viewer.txn() as state:
        # The first axis is shown across the page, the second down: x and y, not z and y.
        state.dimensions = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="nm", scales=[x, y, z])
        if image:
            state.layers["image"] = neuroglancer.ImageLayer(source=f"{served(image)}|zarr:")
        state.layers[facts["channels"][0]] = neuroglancer.ImageLayer(
            source=f"{url}|zarr3:",
            local_dimensions=neuroglancer.CoordinateSpace(names=["c'"], units="", scales=[1]),
            local_position=[0],  # the channel
        )
        state.layers["segmentation"] = neuroglancer.SegmentationLayer(
            source=f"{url}{LABELS}/|zarr3:", segment_colors=colours
        )
        state.layers[facts["channels"][0]].visible = image is None
        state.layout = "xy"
    return viewer
