# Forty quick jobs as job arrays, with the corrections of the Slurm plugin as in workflow/Snakefile.
from genenet.cluster import slurm_plugin
from genenet.cluster.environment import set_up_jobs

slurm_plugin.become_own_array_task()
set_up_jobs()
slurm_plugin.correct()


localrules:
    all,


rule all:
    input:
        expand("out/{i}.txt", i=range(40)),


rule work:
    output:
        "out/{i}.txt",
        "folder{i}/of/its/own.txt",
    resources:
        mem_mb=lambda wildcards, attempt: 300 * attempt,
    params:
        program=workflow.source_path("array_task.py"),
    shell:
        "python {params.program} {wildcards.i} {resources.mem_mb} {output}"
