"""Where jobs run: Slurm, Apptainer, submitit, and the doctor that looks at all of them."""
