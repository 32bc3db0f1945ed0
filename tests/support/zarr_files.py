"""Writes images as OME-Zarr."""

import zarr


def write_ome_zarr(path, image, axes, transforms, unit="nanometer"):
    """Write an image of one level; axes are names, one letter or one word each."""
    group = zarr.create_group(path)
    group.create_array("0", data=image)
    kinds = {"t": "time", "c": "channel"}
    named = [
        {"name": a, "type": kinds.get(a, "space"), **({} if a in "tc" else {"unit": unit})} for a in axes
    ]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": named, "datasets": datasets}]}
