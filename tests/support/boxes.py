"""A folder of labelled boxes, as ``genenet suggest`` writes it."""

import numpy as np
import tifffile

from genenet.core.atomic_files import write_csv, write_json
from genenet.volumes.boxes import COLUMNS, FORMAT


def write_boxes(folder, volume, labels, places, classes, reviewed=None, **facts):
    """Cut boxes, given as slices, out of a volume (Z, Y, X) and its labels; all are reviewed unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, place in enumerate(places, start=1):
        name, starts = f"box_{number:02d}", [part.start for part in place]
        sizes = [part.stop - part.start for part in place]
        is_reviewed = "yes" if reviewed is None or number in reviewed else ""
        rows.append([name, *starts, *sizes, 0.5, "test", is_reviewed])
        tifffile.imwrite(folder / f"{name}_image.tif", volume[place], photometric="minisblack")
        tifffile.imwrite(folder / f"{name}_labels.tif", labels[place], photometric="minisblack")
    write_csv(folder / "boxes.csv", COLUMNS, rows)
    statistics = {"mean": [float(volume.mean())], "deviation": [float(np.std(volume))]}
    values = {"format": FORMAT, "source": "volume.tif", "voxel_size_nm": [40.0, 10.0, 10.0]}
    write_json(
        folder / "volume.json", {**values, "statistics": statistics, "classes": list(classes), **facts}
    )
    return folder
