"""``training:``, how networks are trained: loss, sampling, augmentation, optimiser, schedule."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic import NonNegativeFloat as NonNegative

from genenet.config.types import Device, Precision
from genenet.core.models import Closed


class Loss(Closed):
    """What is minimised, as a mean over the voxels that aren't ignored."""

    kind: Literal["cross_entropy", "dice_cross_entropy", "focal"] = "cross_entropy"
    class_weight_exponent: float = Field(
        0.5, ge=0, le=1, description="weights are frequency^-exponent: 0 unweighted, 1 inverse frequency"
    )
    dice_share: float = Field(
        0.5, ge=0, le=1, description="of Dice in dice_cross_entropy, the rest is cross-entropy"
    )
    focal_gamma: NonNegative = Field(2.0, description="of focal: 0 is cross-entropy (Lin et al. 2017)")
    border_weight: NonNegative = Field(
        0.0,
        description="w0 of Ronneberger et al. (2015), eq. 2: weight of background between touching objects; 0 is off",
    )
    border_sigma_voxels: PositiveFloat = Field(5.0, description="sigma of the same equation")


class Sampling(Closed):
    """Where patches come from. Scores are not touched by it: validation sees every voxel once."""

    rare_classes: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of patches around a voxel of a class drawn evenly; the others: any voxel alike",
    )


class Augmentation(Closed):
    """How patches are changed at random, labels with them; 0 is off. Grey values are in deviations of the image."""

    flips_and_turns: bool = Field(True, description="random flips and right-angle turns in the plane")
    elastic_voxels: NonNegative = Field(
        0.0, description="standard deviation of an elastic deformation in the plane"
    )
    elastic_spacing_voxels: float = Field(32.0, ge=2, description="distance between its control points")
    brightness: NonNegative = Field(0.0, description="an offset of at most so much is added")
    contrast: NonNegative = Field(
        0.0, description="multiplied by a factor between 1/(1+contrast) and 1+contrast"
    )
    gamma: NonNegative = Field(
        0.0, description="exponent between 1/(1+gamma) and 1+gamma, of the patch's own grey range"
    )
    blur_voxels: NonNegative = Field(0.0, description="Gaussian blur in the plane, of a sigma up to this")
    noise: NonNegative = Field(0.0, description="Gaussian noise, of a deviation up to this")
    missing_slices: float = Field(
        0.0, ge=0, le=1, description="probability that a slice is blank, where patches have depth"
    )
    shifted_slices_voxels: NonNegativeInt = Field(0, description="a slice is moved by at most so much")
    shifted_slices: float = Field(
        0.0, ge=0, le=1, description="probability that a slice is moved, where patches have depth"
    )


class Optimiser(Closed):
    """The genome gives learning rate and Adam's betas; the rest is here."""

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: NonNegative = 0.0
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd (Nesterov)")
    gradient_clip: PositiveFloat | None = Field(None, description="largest norm of the gradient")
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="weights that are validated and kept are averaged, with this decay per iteration",
    )


class Schedule(Closed):
    """How the learning rate goes; exponential is the genome's own (decay_rate every decay_steps iterations)."""

    kind: Literal["exponential", "cosine", "one_cycle", "constant"] = "exponential"
    warm_up_iterations: NonNegativeInt = Field(
        0, description="it rises linearly before; one_cycle rises by itself"
    )

    @model_validator(mode="after")
    def _one_cycle_warms_up_itself(self) -> Self:
        if self.kind == "one_cycle" and self.warm_up_iterations:
            raise ValueError("one_cycle rises by itself; leave warm_up_iterations out")
        return self


class Stopping(Closed):
    """When a training ends early, and which weights it ends with."""

    patience: PositiveInt | None = Field(
        None, description="end after so many validations without a better ARI; null: never"
    )
    weights: Literal["best", "last"] = Field(
        "best", description="of the best validation, or the last iteration's"
    )


class Training(Closed):
    """One training; the same for all genomes and baselines."""

    iterations: PositiveInt = 1000
    batch_size: PositiveInt = 4
    threads: PositiveInt = Field(
        2, description="CPU threads of one training; part of the science: others give other bits"
    )
    device: Device = "auto"
    validation_interval: PositiveInt = Field(200, description="iterations between two validations")
    checkpoint_seconds: float | None = Field(
        None,
        ge=0,
        description="seconds between two checkpoints; null: 60, or more where they would take over 1 % of the time",
    )
    precision: Precision = Field(
        "auto", description="of forward and backward; auto: bfloat16 where the device computes faster with it"
    )
    compile: bool = Field(False, description="torch.compile the network: minutes to start, then faster")
    data_memory_mb: PositiveInt | None = Field(
        None,
        description="images that need more are copied to TMPDIR and read from there; null: half of what is free",
    )
    tensorboard: bool = Field(
        False, description="also write TensorBoard logs (pip install genenet[tensorboard])"
    )
    loss: Loss = Loss()
    sampling: Sampling = Sampling()
    augmentation: Augmentation = Augmentation()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    stopping: Stopping = Stopping()
