"""Draw the README's picture from a finished ``make demo``: python docs/demo_picture.py."""

from pathlib import Path

import numpy as np
import tifffile
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from genenet.config.model import read_config
from genenet.config.stages import image_files
from genenet.core.paths import ResultPaths
from genenet.report import figures
from genenet.volumes import ome_zarr
from genenet.volumes.palette import class_colours

Z = 4


def main():
    """Write docs/images/demo.png."""
    config = read_config(Path("config.yaml"))
    paths = ResultPaths(config.results)
    files = image_files(config, config.data.volumes["demo"])
    image, truth = (tifffile.imread(path)[Z] for path in (files.image[0], files.labels[0]))
    found = np.asarray(ome_zarr.open_store(Path(paths.store("demo"))).labels[Z])
    n_classes = len(config.data.classes)
    grey = figures.stretch(image)
    colours = np.array(class_colours(n_classes), np.uint8)
    panels = {
        "image": np.stack([grey] * 3, axis=-1),
        "labels": figures.colour(truth, n_classes),
        "segmentation": figures.colour(found, n_classes),
        "overlay": figures.overlay(grey, found, colours[found]),
    }
    figure = Figure(figsize=(12, 3.7), layout="constrained", facecolor="white")
    for axes, (title, pixels) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        axes.imshow(pixels)
        axes.set_title(title)
        axes.set_axis_off()
    patches = [Patch(color=colours[i] / 255, label=name) for i, name in enumerate(config.data.classes)]
    figure.legend(handles=patches, loc="outside lower center", ncols=n_classes, frameon=False, fontsize=8)
    Path("docs/images").mkdir(exist_ok=True)
    figure.savefig("docs/images/demo.png", dpi=110)


if __name__ == "__main__":
    main()
