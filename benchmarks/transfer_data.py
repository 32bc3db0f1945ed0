"""Data sets whose test is another image: another animal, another volume, or a phantom of another contrast.

The real data is looked for in $GENENET_TEST_DATA, or in ../shared/data beside the clone.
"""

import os
from dataclasses import dataclass

import numpy as np
import tifffile
from skimage.segmentation import find_boundaries

from bench_data import FOLDER, Data
from genenet.phantoms.phantom import CLASSES, slabs
from genenet.training.prepared_images import LabelledArray
from genenet.volumes.normalisation import Normalisation

NORMAL_PERCENTILE = {1: 2.3263, 5: 1.6449}  # of the standard normal distribution, 99 and 95 %


@dataclass(frozen=True)
class TransferData(Data):
    """Labelled images to train, to validate and to test with."""

    test: list[LabelledArray]


def normalisation_of(image, rule):
    """Return the normalisation of a whole image: by mean and deviation, or by two percentiles."""
    if rule == "image":
        return Normalisation.of_volume(float(image.mean()), float(image.std()))
    share = int(rule.removeprefix("percentiles_"))
    low, high = np.percentile(image, [share, 100 - share])
    return Normalisation.of_volume((low + high) / 2, (high - low) / (2 * NORMAL_PERCENTILE[share]))


def parts(name, image, labels, rule, *regions):
    """Return regions of one image (Z, Y, X), normalised by the whole image."""
    norm = normalisation_of(image, rule)
    labels = labels.astype(np.uint8)
    return [
        LabelledArray(name, *(np.ascontiguousarray(a[region]) for a in (image, labels)), norm)
        for region in regions
    ]


def _read(*names):
    array = tifffile.imread(os.path.join(FOLDER, *names))
    return array[None] if array.ndim == 2 else array


WHOLE = np.s_[:]


def axon(rule):
    """Spinal cords: a section of rat 1 and two of rat 3 train, a third of rat 3 validates, rat 4 is the test."""
    rats = ["1_sample-data1", "3_sample-data9", "3_sample-data10", "3_sample-data11", "4_sample-data12"]
    images = []
    for rat in rats:
        raw, labels = (_read("axon_sem", f"sub-rat{rat}_SEM_{kind}.tif") for kind in ("raw", "semantic3"))
        images += parts(rat, raw, labels, rule, WHOLE)
    return TransferData(images[:3], images[3:4], 3, images[4:])


def mito(rule):
    """Mitochondria of a mouse brain: eight slices train, two validate, another volume is the test."""
    raw, labels = (_read("cdeep3m_mito", f"training_{kind}.tif") for kind in ("raw", "mito"))
    train, validation = parts("training", raw, labels, rule, np.s_[:8], np.s_[8:])
    test = (_read("cdeep3m_mito", f"validation_{kind}.tif") for kind in ("raw", "mito"))
    return TransferData([train], [validation], 2, parts("validation", *test, rule, WHOLE))


def flyem(rule):
    """Membranes of a fly's brain: 48 slices train, 16 validate, another crop is the test."""
    raw, labels = (_read("flyem", f"flyem_crop_train_{kind}.tif") for kind in ("raw", "boundary"))
    train, validation = parts("train", raw, labels, rule, np.s_[:48], np.s_[48:])
    test = (_read("flyem", f"flyem_crop_test_{kind}.tif") for kind in ("raw", "boundary"))
    return TransferData([train], [validation], 2, parts("test", *test, rule, WHOLE))


def gala(rule):
    """Borders between neurons of a fly's brain: 38 slices train, 12 validate, another crop is the test."""

    def both(name):
        neurons = _read("gala", f"{name}_neurons_instance.tif")
        borders = np.stack([find_boundaries(plane) for plane in neurons]) | (neurons == 0)
        return _read("gala", f"{name}_raw.tif"), borders

    train, validation = parts("train", *both("train"), rule, np.s_[:38], np.s_[38:])
    return TransferData([train], [validation], 2, parts("test", *both("test"), rule, WHOLE))


def phantom(rule):
    """Two phantoms to train and to validate, and one of lower contrast, darker grey values and more noise."""
    images = []
    for seed, shape in enumerate(((8, 320, 320), (2, 320, 320), (4, 320, 320)), start=1):
        _, image, labels = (list(column) for column in zip(*slabs(shape, seed), strict=True))
        raw = np.concatenate(image)
        raw = other_contrast(raw) if seed == 3 else raw
        images.append(parts(f"phantom {seed}", raw, np.concatenate(labels), rule, WHOLE))
    return TransferData(images[0], images[1], len(CLASSES), images[2])


def platelet(rule):
    """Strips of one slice of platelets: one trains, one validates, and the third, of another contrast, is the test.

    It isn't another volume, but it has what the others lack: seven classes, of which four are rare.
    """
    raw, labels = (_read("platelet", f"50_z0_{kind}.tif") for kind in ("raw", "semantic7"))
    low, high = np.percentile(raw, [0.1, 99.9])
    grey = np.clip(255 * (raw - low) / (high - low), 0, 255).astype(np.uint8)
    train, validation = parts("right", grey, labels, rule, np.s_[..., 400:], np.s_[..., 240:400])
    test = parts("left", other_contrast(grey[..., :240]), labels[..., :240], rule, WHOLE)
    return TransferData([train], [validation], 7, test)


def other_contrast(image):
    """Return an image (Z, Y, X) of 0 to 255 as another microscope could have imaged it."""
    grey = image.astype(np.float64) / 255
    noise = np.random.default_rng(0).normal(0, 0.03, image.shape)
    return np.clip(255 * (0.1 + 0.6 * grey**1.5 + noise), 0, 255).astype(np.uint8)


TRANSFER_SETS = {
    "axon": axon,
    "mito": mito,
    "phantom": phantom,
    "flyem": flyem,
    "gala": gala,
    "platelet": platelet,
}
