"""Draw the pictures of docs/objects.md: python docs/objects_pictures.py FOLDER [--napari].

The folder is that of the search in docs/objects.yaml. What isn't there yet is computed, in five minutes on one core.
--napari draws only the picture of napari, which needs a screen (or xvfb-run).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from genenet.config.model import read_config
from genenet.config.stages import image_files
from genenet.report import figures
from genenet.segmentation.marks import doubtful_contacts
from genenet.volumes.label_images import open_labels
from genenet.volumes.ome_zarr import open_store
from genenet.volumes.palette import class_colours

ROOT = Path(__file__).parents[1]
STORE = Path("results/segmentations/demo.ome.zarr")
RISK = colormaps["autumn_r"]
Z, HALF = 7, 40  # the slice of the first picture; half the width of a contact's picture, in voxels
EDGE = 15  # contacts nearer to the volume's edge, in voxels, aren't drawn alone


def search(folder):
    """Run what is missing of the search."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.yaml").exists():
        shutil.copy(ROOT / "docs/objects.yaml", folder / "config.yaml")
    command = ["snakemake", "--snakefile", ROOT / "workflow/Snakefile", "--directory", folder, "--cores", "1"]
    command += ["--rerun-triggers", "mtime", "params", "input"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run([*command, "--quiet", "all"], check=True, env=environment)


def colours_of(n, contacts):
    """Return colours (n + 1, 3) of objects: different ones where two touch; 0, no object, is black."""
    palette = np.array(class_colours(11)[1:], np.uint8)
    beside = {number: set() for number in range(1, n + 1)}
    for contact in contacts:
        a, b = contact.objects
        beside[a].add(b)
        beside[b].add(a)
    chosen = np.zeros(n + 1, np.intp)
    for number, others in beside.items():
        taken = {chosen[other] for other in others if other < number}
        free = [i for i in range(len(palette)) if i not in taken]
        chosen[number] = free[number % len(free)]
    return np.where(np.arange(n + 1)[:, None] > 0, palette[chosen], 0).astype(np.uint8)


def is_wrong(ids, truth, contact):
    """Return whether both objects of a contact are parts of one true object: most of their voxels lie in the same."""
    largest = [np.bincount(truth[ids == number])[1:] for number in contact.objects]
    return len({int(counts.argmax()) for counts in largest}) == 1


def ring(axes, contact, at, size):
    """Mark a contact at (y, x)."""
    y, x = at
    axes.plot(x, y, "o", ms=size, mfc="none", mec="black", mew=3.2)
    axes.plot(x, y, "o", ms=size, mfc="none", mec=RISK(contact.risk), mew=1.8)


def draw_slice(image, classes, n_classes, ids, colours, contacts):
    """Draw a slice of all volumes: image, classes, objects with their doubtful contacts."""
    grey = figures.stretch(image)
    panels = {
        "image": np.stack([grey] * 3, axis=-1),
        "classes: cells that touch are one region": figures.colour(classes, n_classes),
        "objects, and their contacts by risk": figures.overlay(grey, ids, colours[ids]),
    }
    figure = Figure(figsize=(11.4, 3.95), layout="constrained", facecolor="white")
    all_axes = figure.subplots(1, 3)
    for axes, (title, pixels) in zip(all_axes, panels.items(), strict=True):
        axes.imshow(pixels)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    for contact in contacts:
        if abs(contact.centre[0] - Z) < 1.5:
            ring(all_axes[2], contact, contact.centre[1:], 9)
    bar = figure.colorbar(ScalarMappable(cmap=RISK), ax=all_axes, shrink=0.9, pad=0.01)
    bar.set_label("risk that both are one object", fontsize=9)
    return figure


def draw_contacts(image, ids, truth, colours, contacts):
    """Draw the most doubtful contacts, each in the slice of its centre, above the same place without colours."""
    figure = Figure(figsize=(2.5 * len(contacts), 5.4), layout="constrained", facecolor="white")
    for column, contact in zip(figure.subplots(2, len(contacts)).T, contacts, strict=True):
        z = round(contact.centre[0])
        y, x = (
            min(max(round(at), HALF), n - HALF)
            for at, n in zip(contact.centre[1:], image.shape[1:], strict=True)
        )
        part = (z, slice(y - HALF, y + HALF), slice(x - HALF, x + HALF))
        grey = figures.stretch(image[z])[part[1:]]
        both = np.where(np.isin(ids[part], contact.objects), ids[part], 0)
        pictures = (figures.overlay(grey, both, colours[both]), np.stack([grey] * 3, axis=-1))
        for axes, pixels in zip(column, pictures, strict=True):
            axes.imshow(pixels)
            axes.set_axis_off()
        at = (contact.centre[1] - y + HALF, contact.centre[2] - x + HALF)
        ring(column[0], contact, at, 14)
        verdict = "one object: wrong" if is_wrong(ids, truth, contact) else "two objects: right"
        column[0].set_title(f"risk {contact.risk:.2f}\n{verdict}", fontsize=10)
    return figure


def draw_napari(image):
    """Write docs/images/napari_objects.png: the slice of the most doubtful contact, in napari's window."""
    from genenet.segmentation.napari_viewing import open_napari

    viewer = open_napari(STORE, [Path(image)])
    viewer.layers["instances_mitochondrion"].visible = viewer.layers["contacts_mitochondrion"].visible = False
    viewer.layers.selection.active = viewer.layers["contacts_cell"]
    viewer.window.resize(1100, 700)
    viewer.reset_view(margin=0.02)
    viewer.screenshot(ROOT / "docs/images/napari_objects.png", canvas_only=False)


def main():
    """Write docs/images/objects.png and docs/images/contacts.png."""
    folder = Path(sys.argv[1])
    if "--napari" in sys.argv:
        os.chdir(folder)
        draw_napari(next(Path("results/phantoms").glob("*seed3*/image.tif")))
        return
    search(folder)
    os.chdir(folder)
    config = read_config(Path("config.yaml"))
    files = image_files(config, config.data.volumes["demo"])
    truth_file = next(Path(files.image[0]).parent.glob("instances_cell*"))
    image, truth = tifffile.imread(files.image[0]), tifffile.imread(truth_file)
    store = open_store(STORE)
    classes, ids = store.labels[Z], np.asarray(open_labels(store, "instances_cell")[...])
    contacts = doubtful_contacts(store, "cell")
    colours = colours_of(int(ids.max()), contacts)
    for contact in contacts:
        print(
            f"{contact.objects}: risk {contact.risk:.2f}, {'wrong' if is_wrong(ids, truth, contact) else 'right'}"
        )
    n_classes = len(config.data.classes)
    images = ROOT / "docs/images"
    draw_slice(image[Z], np.asarray(classes), n_classes, ids[Z], colours, contacts).savefig(
        images / "objects.png", dpi=110
    )
    inside = [
        contact
        for contact in contacts
        if all(EDGE < at < n - EDGE for at, n in zip(contact.centre[1:], ids.shape[1:], strict=True))
    ]
    draw_contacts(image, ids, truth, colours, inside[:4]).savefig(images / "contacts.png", dpi=110)


if __name__ == "__main__":
    main()
