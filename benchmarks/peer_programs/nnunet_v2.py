"""nnU-Net v2 on a processor, for benchmarks/peers.py: python nnunet_v2.py FOLDER, in the peers' environment.

FOLDER holds images.npz and task.json; probabilities.npz and facts.json are written into it. The plan is nnU-Net's own
2D plan with fewer features, patches of at most 256 voxels and batches of 2. Planning isn't counted.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

FOLDER = Path(sys.argv[1])
DATASET = "Dataset001_peer"
FEATURES = (16, 32, 64, 128)
PATCH, BATCH = 256, 2
STEPS = 20  # of an epoch
SAMPLE = 8  # iterations by which the speed is measured


def write_data(files, n_classes):
    """Write each slice as a case, as nnU-Net reads them."""
    folder = FOLDER / "raw" / DATASET
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    n_cases = 0
    for i in range(sum(name.startswith("train_") for name in files)):
        for image, labels in zip(files[f"train_{i}"], files[f"labels_{i}"], strict=True):
            tifffile.imwrite(folder / f"imagesTr/case{n_cases:04d}_0000.tif", image)
            tifffile.imwrite(folder / f"labelsTr/case{n_cases:04d}.tif", labels)
            n_cases += 1
    classes = {"background": 0, **{f"class{c}": c for c in range(1, n_classes)}}
    description = {
        "channel_names": {"0": "em"},
        "labels": classes,
        "numTraining": n_cases,
        "file_ending": ".tif",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return description


def planned():
    """Plan, shrink the plan, and preprocess; return the plan."""
    extract_fingerprints([1], num_processes=1, show_progress_bar=False)
    plan_experiments([1])
    path = FOLDER / "preprocessed" / DATASET / "nnUNetPlans.json"
    plan = json.loads(path.read_text())
    two_d = plan["configurations"]["2d"]
    n = len(FEATURES)
    step = 2 ** (n - 1)
    two_d["patch_size"] = [step * (min(PATCH, size) // step) for size in two_d["patch_size"]]
    two_d["batch_size"] = BATCH
    network = two_d["architecture"]["arch_kwargs"]
    for key in ("kernel_sizes", "strides", "n_conv_per_stage"):
        network[key] = network[key][:n]
    network["n_conv_per_stage_decoder"] = network["n_conv_per_stage_decoder"][: n - 1]
    network["features_per_stage"], network["n_stages"] = list(FEATURES), n
    path.write_text(json.dumps(plan))
    preprocess([1], configurations=["2d"], num_processes=[1], show_progress_bar=False)
    return plan


def trainer(plan, description, epochs):
    """Return nnU-Net's own trainer, with epochs of STEPS iterations."""
    made = nnUNetTrainer({**plan, "continue_training": False}, "2d", "all", description, torch.device("cpu"))
    made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = STEPS, 1
    made.num_epochs = epochs
    made.disable_checkpointing = True
    made.initialize()
    return made


def main():
    """Train for so many seconds of the processor, then predict the test images slice by slice."""
    task = json.loads((FOLDER / "task.json").read_text())
    torch.set_num_threads(1)
    torch.manual_seed(task["seed"])
    np.random.seed(task["seed"])  # noqa: NPY002
    files = np.load(FOLDER / "images.npz")
    description = write_data(files, task["n_classes"])
    plan = planned()
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112  augmentation in this process, whose time is counted
    trial = trainer(plan, description, 1)
    trial.on_train_start()
    trial.train_step(next(trial.dataloader_train))
    began = time.process_time()
    for _ in range(SAMPLE):
        trial.train_step(next(trial.dataloader_train))
    per_iteration = (time.process_time() - began) / SAMPLE
    epochs = max(1, round(task["seconds"] / per_iteration / (STEPS + 1)))
    real = trainer(plan, description, epochs)
    began = time.process_time()
    real.run_training()
    seconds = round(time.process_time() - began, 1)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    real.set_deep_supervision_enabled(False)
    weights = real.network.state_dict()
    predictor.manual_initialization(
        real.network, real.plans_manager, real.configuration_manager, [weights], description, "nnUNetTrainer",
        real.inference_allowed_mirroring_axes,
    )  # fmt: skip
    found = {name: predicted(predictor, files[name]) for name in files if name.startswith("test_")}
    np.savez(FOLDER / "probabilities.npz", **found)
    (FOLDER / "facts.json").write_text(json.dumps({"iterations": epochs * STEPS, "seconds": seconds}))


def predicted(predictor, image):
    """Return the probabilities (C, Z, Y, X) of an image (Z, Y, X)."""
    slices = [
        predictor.predict_single_npy_array(
            plane[None, None].astype(np.float32), {"spacing": (999, 1, 1)}, save_or_return_probabilities=True
        )[1]
        for plane in image
    ]
    return np.concatenate(slices, axis=1)


if __name__ == "__main__":
    main()
