"""Volumes that an ensemble meets: its own images, the same ones changed, and those of other data sets."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from genenet.training.prepared_images import LabelledArray
from genenet.volumes.normalisation import Normalisation
from transfer_data import TRANSFER_SETS, TransferData, axon, other_contrast, parts

CUT = (1, 320, 320)  # most voxels of a volume


def rat1(rule):
    """One section with voxels of 180 nm trains and validates; the test has voxels of 100 nm."""
    whole = axon(rule)
    section, test = whole.train[0], whole.test
    train, validation = (
        parts("rat 1", section.image, section.labels, rule, region)[0]
        for region in (np.s_[:, :, :900], np.s_[:, :, 900:])
    )
    norm = section.normalisation
    images = [replace(each, normalisation=norm) for each in (train, validation)]
    return TransferData(images[:1], images[1:], whole.n_classes, test)


SETS = {**TRANSFER_SETS, "rat1": rat1}
SAME_CLASSES = ({"flyem", "gala"}, {"axon", "rat1"})


@dataclass(frozen=True)
class Volume:
    """A volume to segment; ``labels`` of None: the classes of the ensemble mean something else in it."""

    name: str
    image: LabelledArray
    has_labels: bool = True


def normalised(image, like=None):
    """Return an image normalised by itself, or as another one."""
    norm = Normalisation.of_volume(float(image.image.mean()), float(image.image.std()))
    return replace(image, normalisation=like.normalisation if like else norm)


def changed(image, grey=None, scale=1.0):
    """Return an image with other grey values, a function of floats, or with larger or smaller voxels."""
    voxels, labels = image.image, image.labels
    if grey:
        voxels = np.clip(np.rint(grey(voxels.astype(np.float64))), 0, 255).astype(np.uint8)
    if scale != 1:
        voxels = zoom(voxels, (1, scale, scale), order=1)
        labels = zoom(labels, (1, scale, scale), order=0)
    return replace(image, image=voxels, labels=labels)


def blurred(sigma):
    """Return a function that blurs slices."""
    return lambda voxels: gaussian_filter(voxels, (0, sigma, sigma))


def noisy(share):
    """Return a function that adds noise, with a deviation that is a share of the image's."""
    return lambda v: v + np.random.default_rng(0).normal(0, share * v.std(), v.shape)


GREY = {
    "inverted": lambda v: 255 - v,
    "blur 1": blurred(1),
    "blur 2": blurred(2),
    "blur 4": blurred(4),
    "noise 0.3": noisy(0.3),
    "noise 1": noisy(1),
    "noise 2": noisy(2),
    "gamma 0.5": lambda v: 255 * (v / 255) ** 0.5,
    "gamma 2": lambda v: 255 * (v / 255) ** 2,
    "other contrast": other_contrast,
}
SCALES = {"voxels 0.5": 2.0, "voxels 0.7": 1.4, "voxels 1.4": 1 / 1.4, "voxels 2": 0.5}
SHIFTED = {"x 0.4": lambda v: 0.4 * v, "x 0.7": lambda v: 0.7 * v, "+ 25": lambda v: v + 25}


def quarters(image):
    """Yield the quarters of an image, normalised as all of it."""
    _, height, width = image.image.shape
    for i, (rows, columns) in enumerate(np.ndindex(2, 2)):
        y = slice(rows * height // 2, (rows + 1) * height // 2)
        x = slice(columns * width // 2, (columns + 1) * width // 2)
        kept = (np.ascontiguousarray(a[:, y, x]) for a in (image.image, image.labels))
        yield f"quarter {i}", LabelledArray(image.name, *kept, image.normalisation)


def cut(image):
    """Return the middle of an image; its normalisation stays that of all of it."""
    middle = tuple(
        slice((n - m) // 2, (n - m) // 2 + m)
        for n, m in zip(image.image.shape, map(min, CUT, image.image.shape), strict=True)
    )
    return replace(
        image,
        image=np.ascontiguousarray(image.image[middle]),
        labels=np.ascontiguousarray(image.labels[middle]),
    )


def volumes(name, data):
    """Yield the volumes that the ensemble of a data set segments."""
    for split in ("validation", "test"):
        image = cut(getattr(data, split)[0])
        yield Volume(f"{split}", image)
        for what, quarter in quarters(image):
            yield Volume(f"{split}, {what}", quarter)
        for what, grey in GREY.items():
            yield Volume(f"{split}, {what}", normalised(changed(image, grey)))
        for what, scale in SCALES.items():
            yield Volume(f"{split}, {what}", normalised(changed(image, scale=scale)))
        if len(data.train) == 1:
            yield Volume(f"{split}, by training", normalised(image, data.train[0]))
            for what, grey in SHIFTED.items():
                yield Volume(f"{split}, by training, {what}", normalised(changed(image, grey), data.train[0]))
    for other, of_other in SETS.items():
        if other != name and {other, name} != {"axon", "rat1"}:
            is_same = any({other, name} <= group for group in SAME_CLASSES)
            yield Volume(f"{other}", cut(of_other("image").test[0]), is_same)
