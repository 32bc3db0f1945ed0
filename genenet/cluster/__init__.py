"""Where jobs run: Slurm, Apptainer, submitit, and ``genenet doctor``, which checks all of them."""
