# Images in: phantoms are made, labelled images are checked and packed.


rule phantom:
    output:
        image=PATHS.phantom("{shape}-seed{seed}", "image"),
        labels=PATHS.phantom("{shape}-seed{seed}", "labels"),
    log:
        f"{PATHS.results}/logs/phantom/{{shape}}-seed{{seed}}.log",
    message:
        "phantom of {wildcards.shape} voxels from seed {wildcards.seed}"
    shell:
        "genenet phantom --shape {wildcards.shape} --seed {wildcards.seed}"
        " --image {output.image} --labels {output.labels} --log {log}"


rule prepare:
    input:
        images=split_inputs,
        settings=PATHS.settings("prepare_{split}"),
    output:
        PATHS.data("{split}"),
    log:
        f"{PATHS.results}/logs/prepare/{{split}}.log",
    message:
        "check and pack the {wildcards.split} images"
    shell:
        "genenet prepare --settings {input.settings} --out {output} --log {log}"
