# Segmentations. Each volume is divided among jobs, whose number is in the config.


rule segment:
    input:
        ensemble=PATHS.ensemble,
        images=lambda wildcards: image_inputs(VOLUMES[wildcards.volume]),
        settings=PATHS.settings("segment_{volume}"),
    output:
        PATHS.receipt("{volume}", "{part}"),
    log:
        f"{PATHS.results}/logs/segment/{{volume}}/{{part}}.log",
    threads: ENSEMBLE_THREADS
    params:
        store=PATHS.store("{volume}"),
        part=as_share,
    message:
        "segment {wildcards.volume}, part {wildcards.part}"
    shell:
        "genenet segment --ensemble {input.ensemble:q} --settings {input.settings:q} --part {params.part:q}"
        " --out {params.store:q} --receipt {output:q} --threads {threads} --log {log:q}"


if POSTPROCESSING.is_wanted:

    rule postprocess:
        input:
            receipts=expand(PATHS.receipt("{{volume}}", "{part}"), part=PARTS),
            settings=PATHS.settings("postprocess"),
        output:
            receipt=PATHS.postprocessing("{volume}"),
            table=[PATHS.objects("{volume}")] if POSTPROCESSING.objects else [],
        log:
            f"{PATHS.results}/logs/postprocess/{{volume}}.log",
        params:
            store=PATHS.store("{volume}"),
        message:
            "post-process {wildcards.volume}"
        shell:
            "genenet postprocess --settings {input.settings:q} --receipt {output.receipt:q} --log {log:q}"
            " -- {params.store:q}"


SEGMENTED = (
    [PATHS.postprocessing("{volume}")]
    if POSTPROCESSING.is_wanted
    else expand(PATHS.receipt("{{volume}}", "{part}"), part=PARTS)
)

if OBJECTS:

    rule instances:
        input:
            segmented=SEGMENTED,
            settings=PATHS.settings("instances"),
        output:
            receipt=PATHS.instances("{volume}"),
            tables=[
                table
                for each in OBJECTS
                for table in PATHS.instance_tables("{volume}", each.name)
            ],
        log:
            f"{PATHS.results}/logs/instances/{{volume}}.log",
        threads: ENSEMBLE_THREADS
        params:
            store=PATHS.store("{volume}"),
        message:
            "number the objects of {wildcards.volume}"
        shell:
            "genenet instances --settings {input.settings:q} --receipt {output.receipt:q} --threads {threads}"
            " --log {log:q} -- {params.store:q}"


rule export:
    input:
        [PATHS.instances("{volume}")] if OBJECTS else SEGMENTED,
    output:
        PATHS.tiff("{volume}"),
    log:
        f"{PATHS.results}/logs/export/{{volume}}.log",
    params:
        store=PATHS.store("{volume}"),
        labels=stages.label_choice(CONFIG),
    message:
        "export {wildcards.volume}"
    shell:
        "genenet export --labels {params.labels:q} --tiff {output:q} --log {log:q} -- {params.store:q}"


rule evaluate:
    input:
        tiff=PATHS.tiff("{volume}"),  # the store is complete
        settings=PATHS.settings("evaluate_{volume}"),
    output:
        PATHS.volume_scores("{volume}"),
    log:
        f"{PATHS.results}/logs/evaluate/{{volume}}.log",
    params:
        store=PATHS.store("{volume}"),
    message:
        "score {wildcards.volume} against its labels"
    shell:
        "genenet evaluate --segmentation {params.store:q} --settings {input.settings:q}"
        " --out {output:q} --log {log:q}"
