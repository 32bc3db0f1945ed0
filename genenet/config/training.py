"""``training:``, how networks are trained: loss, sampling, augmentation, optimiser, schedule."""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic import NonNegativeFloat as NonNegative

from genenet.config.losses import Loss
from genenet.config.optimisers import Optimiser
from genenet.config.schedules import Schedule
from genenet.config.selection_metrics import RANKING_METRIC, SELECTION_METRICS, SelectionMetricName
from genenet.config.types import Device, Precision
from genenet.core.models import Closed


class Sampling(Closed):
    """Where patches come from. Scores don't depend on it: validation uses every voxel once."""

    rare_classes: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the patches that are centred near a voxel of a randomly chosen class, with the "
        "same probability for each class; the other patches are drawn evenly from all voxels. The "
        "training loss in history.csv is the mean over the drawn patches",
    )


class Augmentation(Closed):
    """Random changes of patches, and of their labels where they move voxels. Grey values are normalised: sigma is 1."""

    flips_and_turns: bool = Field(True, description="random flips and right-angle turns in the plane")
    elastic_voxels: NonNegative = Field(
        0.0, description="standard deviation of an elastic deformation in the plane; 0 is off"
    )
    elastic_spacing_voxels: float = Field(
        32.0, ge=2, description="distance between the control points of the elastic deformation"
    )
    rotation_degrees: float = Field(
        0.0,
        ge=0,
        le=180,
        description="largest angle by which patches are rotated in the plane, half of them at random; 0 is off",
    )
    scaling: NonNegative = Field(
        0.0,
        description="patches are enlarged by a random factor from 1/(1+scaling) to 1+scaling in the plane, half of "
        "them at random; 0 is off",
    )
    brightness: NonNegative = Field(
        0.0,
        description="largest offset that is added to the grey values, in standard deviations of the image; "
        "0 is off",
    )
    contrast: NonNegative = Field(
        0.0,
        description="grey values are multiplied by a random factor from 1/(1+contrast) to 1+contrast; 0 is off",
    )
    gamma: NonNegative = Field(
        0.0,
        description="grey values, scaled to the range of the patch, are raised to a random power from "
        "1/(1+gamma) to 1+gamma; 0 is off",
    )
    curves: float = Field(
        0.0,
        ge=0,
        le=1,
        description="grey values pass a random monotone curve over the range of the patch: 0 is off, 1 allows any "
        "curve",
    )
    random_convolutions: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the patches that are mixed with a random 3×3 convolution of themselves (Xu et al. 2021)",
    )
    blur_voxels: NonNegative = Field(
        0.0, description="largest sigma of a Gaussian blur in the plane; 0 is off"
    )
    noise: NonNegative = Field(
        0.0, description="largest sigma of Gaussian noise, in standard deviations of the image; 0 is off"
    )
    missing_slices: float = Field(
        0.0, ge=0, le=1, description="probability that a slice of a patch with depth is blank"
    )
    shifted_slices_voxels: NonNegativeInt = Field(
        0, description="largest distance by which a slice is shifted in the plane"
    )
    shifted_slices: float = Field(
        0.0, ge=0, le=1, description="probability that a slice of a patch with depth is shifted"
    )


class Stopping(Closed):
    """When a training ends early, and which weights it keeps."""

    patience: PositiveInt | None = Field(
        None,
        description="a training ends after this number of validations in a row without a better score; null: never",
    )
    weights: Literal["best", "last"] = Field(
        "best", description="best: keep the weights of the best validation; last: those of the last iteration"
    )
    metric: SelectionMetricName = Field(
        RANKING_METRIC,
        description="score of the validations, also for the rungs of successive halving. "
        f"{SELECTION_METRICS.text}",
    )


class Training(Closed):
    """One training; the same for all genomes and baselines."""

    iterations: PositiveInt = Field(1000, description="number of optimiser steps")
    refit_iterations: PositiveInt | None = Field(
        None,
        description="number of optimiser steps of the members' training on all labelled images, only with "
        "ensemble.refit: true; null: as many as the member had",
    )
    batch_size: PositiveInt = Field(4, description="number of patches in each step")
    threads: PositiveInt = Field(
        1,
        description="number of CPU threads of one training; with another number, results differ in the last bits. "
        "Trainings side by side use cores better than threads do",
    )
    device: Device = Field(
        "auto",
        description="auto: the GPU if there is one, otherwise the CPU; an error if Slurm granted a GPU that "
        "torch can't use",
    )
    validation_interval: PositiveInt = Field(200, description="iterations between two validations")
    checkpoint_seconds: float | None = Field(
        None,
        ge=0,
        description="seconds between two checkpoints (fewer at the beginning); null: 60, or more if checkpoints "
        "would take over 1 % of the time",
    )
    precision: Precision = Field(
        "auto",
        description="floating-point type of the forward and backward pass; weights stay float32. auto: bfloat16 "
        "if the device computes faster with it (GPUs since Ampere, CPUs with AMX, CPUs of AMD with AVX512-BF16), "
        "otherwise float32. It is chosen when a training begins; a training that continues elsewhere keeps it",
    )
    compile: bool | Literal["auto"] = Field(
        False,
        description="compile the network with torch.compile. This takes minutes, needs a C++ compiler on the "
        "CPU, and makes only trainings on GPUs faster. auto: on a GPU, a short trial at the start decides between CUDA "
        "graphs (torch.compile in the mode reduce-overhead) and no compilation; on the CPU, no compilation",
    )
    data_memory_mb: PositiveInt | None = Field(
        None,
        description="memory for the training and validation images with their border weights; images that need "
        "more are copied to TMPDIR and read from there. null: half of the free memory",
    )
    tensorboard: bool = Field(
        False,
        description="also write TensorBoard logs to runs/…/tensorboard (pip install 'genenet[tensorboard]')",
    )
    deep_supervision: bool = Field(
        False,
        description="the loss is also computed at lower scales of the decoder, through 1×1 convolutions that only "
        "the training has (Lee et al. 2015); scales and weights are those of nnU-Net (Isensee et al. 2021). "
        "It changes nothing for networks with fewer than two poolings",
    )
    loss: Loss = Loss()
    sampling: Sampling = Sampling()
    augmentation: Augmentation = Augmentation()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    stopping: Stopping = Stopping()

    def without_validation(self) -> Self:
        """Return the settings of a training on all images: no validation is left to stop it or to choose weights."""
        stopping = self.stopping.model_copy(update={"patience": None, "weights": "last"})
        return self.model_copy(update={"stopping": stopping})

    def shortened(self, iterations: int) -> Self:
        """Return the settings of a training with fewer iterations; its warm-up is shorter in proportion."""
        schedule = self.schedule.shortened(iterations / self.iterations)
        return self.model_copy(update={"iterations": iterations, "schedule": schedule})


class Trainings(Training):
    """All trainings of a search: how each is done, how many share a job, and what they start from."""

    per_job: PositiveInt = Field(
        1,
        description="number of genomes that one job of a cluster trains: as many side by side, on the job's GPU or on "
        "its cores, as memory and cores allow, and then the others. It changes no result. Baselines, controls and "
        "refits have jobs of their own",
    )
    start: Path | None = Field(
        None,
        exclude_if=not_,
        description="the results folder of a finished search, or an ensemble's folder: each training whose genome has "
        "a network there begins with its weights; with other classes, its last layer begins with random weights. null: "
        "all begin with random weights",
    )

    def of_each(self) -> Training:
        """Return the settings of one training, which don't depend on its job."""
        return Training.model_validate(self.model_dump(exclude={"per_job", "start"}))
