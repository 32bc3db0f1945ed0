"""A segmentation in neuroglancer: an extra, ``pip install genenet[view]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genenet.core.errors import InputError
from genenet.volumes.ome_zarr import LABELS, open_store
from genenet.volumes.palette import class_colours
from genenet.volumes.readers.zarr import open_zarr

if TYPE_CHECKING:
    from pathlib import Path


def view(store: Path, image: Path | None = None, address: str = "127.0.0.1") -> Any:
    """Serve a segmentation and neuroglancer's page; return its viewer, whose ``get_viewer_url`` opens it.

    Both are served as long as the process lives, under addresses that nobody can guess.

    Args:
        store: a segmentation that genenet made.
        image: what was segmented, if it is an OME-Zarr, to be shown below, in place of the uncertainty.
        address: that is listened at; only this machine reaches the default.

    Raises:
        InputError: If neuroglancer isn't installed, or one of the two isn't what it should be.
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
        # It knows ranges of bytes, which shards are read by, and Python's own http.server doesn't.
        return f"{StaticFileServer(str(folder.resolve()), address, daemon=True).url}/"

    neuroglancer.set_server_bind_address(address)
    viewer, url = neuroglancer.Viewer(), served(store)
    colours = dict(enumerate("#{:02x}{:02x}{:02x}".format(*c) for c in class_colours(len(facts["classes"]))))
    z, y, x = facts["voxel_size_nm"]
    with viewer.txn() as state:
        # The first two axes are the page's: in the file's own order it would show z across.
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
