"""MONAI's BasicUNet in a plain loop, for benchmarks/peers.py: python basic_unet.py FOLDER, in the peers' environment.

FOLDER holds images.npz and task.json; probabilities.npz and facts.json are written into it.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
)
from monai.utils import set_determinism

FEATURES = (16, 16, 32, 64, 128, 16)
PATCH, BATCH, RATE = 224, 2, 1e-3
CHECKED = 50  # iterations between two looks at the clock
KEYS = ["image", "labels"]


def normalised(image):
    """Normalise an image by its own mean and deviation."""
    image = image.astype(np.float32)
    return (image - image.mean()) / image.std()


def transform(size):
    """Return what makes a random patch of a slice."""
    return Compose(
        [
            EnsureTyped(KEYS),
            RandSpatialCropd(KEYS, (size, size), random_size=False),
            RandFlipd(KEYS, 0.5, 0),
            RandFlipd(KEYS, 0.5, 1),
            RandRotate90d(KEYS, 0.5),
            RandGaussianSmoothd(["image"], (0.2, 0.7), (0.2, 0.7), prob=0.3),
            RandScaleIntensityd(["image"], 0.2, 0.5),
            RandShiftIntensityd(["image"], 0.2, prob=0.5),
            RandAdjustContrastd(["image"], 0.3, (0.77, 1.3)),
            RandGaussianNoised(["image"], 0.3, 0.0, 0.15),
        ]
    )


def main(folder):
    """Train for so many seconds of the processor, then predict the test images slice by slice."""
    task = json.loads((folder / "task.json").read_text())
    torch.set_num_threads(1)
    set_determinism(task["seed"])
    files = np.load(folder / "images.npz")
    n = sum(name.startswith("train_") for name in files)
    slices = [
        {"image": image[None], "labels": labels[None].astype(np.float32)}
        for i in range(n)
        for image, labels in zip(normalised(files[f"train_{i}"]), files[f"labels_{i}"], strict=True)
    ]
    size = min(PATCH, *(16 * (min(s["image"].shape[1:]) // 16) for s in slices))
    patches = transform(size)
    network = BasicUNet(2, 1, task["n_classes"], features=FEATURES)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    shares = np.array([s["labels"].size for s in slices], float)
    rng = np.random.default_rng(task["seed"])
    began, iterations = time.process_time(), 0
    while iterations % CHECKED or time.process_time() - began < task["seconds"]:
        chosen = rng.choice(len(slices), BATCH, p=shares / shares.sum())
        batch = [patches(slices[i]) for i in chosen]
        image, labels = (torch.stack([b[key].as_tensor() for b in batch]) for key in KEYS)
        optimiser.zero_grad()
        loss(network(image), labels).backward()
        optimiser.step()
        iterations += 1
    seconds = round(time.process_time() - began, 1)
    network.eval()
    found = {}
    with torch.inference_mode():
        for name in [name for name in files if name.startswith("test_")]:
            image = torch.from_numpy(normalised(files[name]))[:, None]
            logits = [
                sliding_window_inference(s[None], (size, size), 4, network, 0.5, "gaussian") for s in image
            ]
            found[name] = torch.cat(logits).softmax(1).movedim(0, 1).numpy()
    np.savez(folder / "probabilities.npz", **found)
    (folder / "facts.json").write_text(json.dumps({"iterations": iterations, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
