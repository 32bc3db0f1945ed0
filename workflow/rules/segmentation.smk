# Volumes, each shared among a number of jobs that is known from the config.

PARTS = [part_name(i + 1, CONFIG.segmentation.jobs) for i in range(CONFIG.segmentation.jobs)]


def as_share(wildcards):
    part, n_parts = wildcards.part.split("-of-")
    return f"{int(part)}/{int(n_parts)}"


rule segment:
    input:
        ensemble=PATHS.ensemble,
        images=lambda wildcards: image_inputs(VOLUMES[wildcards.volume]),
        settings=PATHS.settings("segment_{volume}"),
    output:
        PATHS.receipt("{volume}", "{part}"),
    params:
        store=PATHS.store("{volume}"),
        part=as_share,
    threads: CONFIG.training.threads
    log:
        f"{PATHS.results}/logs/segment/{{volume}}/{{part}}.log",
    message:
        "segment {wildcards.volume}, part {wildcards.part}"
    shell:
        "genenet segment --ensemble {input.ensemble} --settings {input.settings} --part {params.part}"
        " --out {params.store} --receipt {output} 2>&1 | tee {log}"


rule export:
    input:
        expand(PATHS.receipt("{{volume}}", "{part}"), part=PARTS),
    output:
        PATHS.tiff("{volume}"),
    params:
        store=PATHS.store("{volume}"),
    log:
        f"{PATHS.results}/logs/export/{{volume}}.log",
    message:
        "export {wildcards.volume}"
    shell:
        "genenet export {params.store} --tiff {output} > {log} 2>&1"


rule evaluate:
    input:
        tiff=PATHS.tiff("{volume}"),  # the store is complete
        settings=PATHS.settings("evaluate_{volume}"),
    output:
        PATHS.volume_scores("{volume}"),
    params:
        store=PATHS.store("{volume}"),
    log:
        f"{PATHS.results}/logs/evaluate/{{volume}}.log",
    message:
        "score {wildcards.volume} against its labels"
    shell:
        "genenet evaluate --segmentation {params.store} --settings {input.settings}"
        " --out {output} > {log} 2>&1"
