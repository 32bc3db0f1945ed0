# Images: phantoms are made, labelled images are checked and packed.


rule phantom:
    output:
        image=PATHS.phantom("{phantom}", "image"),
        labels=PATHS.phantom("{phantom}", "labels"),
        instances=[
            PATHS.phantom_instances("{phantom}", name)
            for name in phantom_objects.OBJECTS
        ],
    log:
        f"{PATHS.results}/logs/phantom/{{phantom}}.log",
    params:
        options=phantom_options,
    message:
        "phantom {wildcards.phantom}"
    shell:
        "genenet phantom {params.options:q} --image {output.image:q} --labels {output.labels:q} --log {log:q}"


rule prepare:
    input:
        # other voxels are other settings, which hold a checksum: times say nothing about the user's files
        images=ancient(given_inputs),
        phantoms=phantom_inputs,
        settings=PATHS.settings("prepare_{split}"),
    output:
        PATHS.data("{split}"),
    log:
        f"{PATHS.results}/logs/prepare/{{split}}.log",
    message:
        "check and pack the {wildcards.split} images"
    shell:
        "genenet prepare --settings {input.settings:q} --out {output:q} --log {log:q}"
