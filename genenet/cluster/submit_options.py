"""The options of ``genenet submit``: each field is an option of the command line."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveInt

from genenet.core.models import Closed

PAUSE_SECONDS = 10.0  # before a training that failed is started again; each further pause is twice as long


class Options(Closed):
    """How trainings are submitted; None is the cluster's own default."""

    cluster: str | None = Field(
        None, description="slurm or local; default: slurm if sbatch and srun are on the PATH"
    )
    partition: str | None = Field(None, description="Slurm: partition")
    account: str | None = Field(None, description="Slurm: account")
    gpu: str = Field(
        "",
        description="Slurm: options of sbatch that ask for a GPU, such as gpus=v100x:1 or "
        "gres=gpu:v100x:1,lscratch:100",
    )
    minutes: PositiveInt = Field(
        240, description="Slurm: time limit of a job; a longer training continues in the next job"
    )
    mem_gb: PositiveInt = Field(16, description="Slurm: memory of a job in GB")
    jobs: PositiveInt | None = Field(
        None,
        description="trainings at a time; default: all on Slurm, as many as the cores allow on this machine",
    )
    container: str | None = Field(None, description="container image, instead of the config's; '' for none")
    container_args: str = Field(
        "", description="options of apptainer exec besides --nv, such as '--bind /data/em'"
    )
    wait: bool = Field(True, description="Slurm: wait for the trainings, and print how each one ends")
    pause_seconds: NonNegativeFloat = Field(
        PAUSE_SECONDS,
        description="pause before a training that failed is started again; it doubles each time, up to 5 minutes",
    )

    def image(self, of_config: str | None) -> str | None:
        """Return the image that jobs run in; None for none."""
        return of_config if self.container is None else self.container or None
