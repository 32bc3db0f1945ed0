"""A small ensemble and image as files, and jobs that segment it."""

import numpy as np
import tifffile
import torch
import zarr

from genenet.config.segmentation import Segmentation
from genenet.config.settings import ImageFiles
from genenet.core.atomic_files import write_json
from genenet.ensembles.description import FORMAT
from genenet.ensembles.ensemble import load_ensemble
from genenet.genes.genome import Genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.weights import save_weights
from genenet.segmentation.job import SegmentationJob

CPU = torch.device("cpu")


CLASSES = ["background", "cell", "organelle"]
NET = {"n_convkernels": 3, "n_convlayers": 1, "input_size": 64}


def write_ensemble(folder, n_stacks=(1,), mode="volume", net=None, nets=None, classes=CLASSES, **description):
    """An ensemble of random networks; ``net`` are more values of each, or ``nets`` all values of all of them."""
    members = []
    for index, values in enumerate(nets or [{**NET, "n_stacks": n, **(net or {})} for n in n_stacks]):
        genome = Genome(f"g{index}", {"net": values})
        torch.manual_seed(index)
        place = folder / f"members/{index:02d}"
        genome.write(place / "genome.json")
        save_weights(
            Network(plan(genome.net, len(classes))).state_dict(), genome.id, place / "model.safetensors"
        )
        members.append({"folder": f"members/{index:02d}", "run": f"r0/{index:03d}", "genome": genome.id})
    facts = {
        "format": FORMAT,
        "classes": list(classes),
        "voxel_size_nm": [40.0, 10.0, 10.0],
        "normalisation": {"mode": mode, "mean": 127.0, "deviation": 74.0},
        "members": members,
    }
    write_json(folder / "ensemble.json", {**facts, **description})
    return folder


def write_image(folder, shape=(4, 70, 90)):
    """A noisy image, image.tif."""
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    tifffile.imwrite(folder / "image.tif", image, photometric="minisblack")
    return image


def job(folder, name="a.ome.zarr", image="image.tif", source=None, **settings):
    """A job of folder/ensemble that segments folder/image.tif in blocks of (2, 32, 64)."""
    values = {
        "block": (2, 32, 64),
        "tile": (1, 48, 48),
        "probabilities": True,
        "precision": "float32",
        **settings,
    }
    files = ImageFiles(**{"image": [folder / image], "labels": None, "region": None, **(source or {})})
    return SegmentationJob(
        load_ensemble(folder / "ensemble"), files, Segmentation(**values), CPU, folder / name
    )


def arrays(path):
    """Channels (C, Z, Y, X) and labels (Z, Y, X) of a store."""
    group = zarr.open(path, mode="r")
    return group["0"][:], group["labels/segmentation/0"][:]
