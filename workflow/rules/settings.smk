# The only rule with configuration in its params. Each stage depends on its settings file, so that a setting that isn't
# in this file can't make the stage run again.


rule settings:
    output:
        PATHS.settings("{stage}"),
    log:
        f"{PATHS.results}/logs/settings/{{stage}}.log",
    container:
        None
    params:
        json=lambda wildcards: stages.settings_json(CONFIG, wildcards.stage),
    message:
        "settings of {wildcards.stage}"
    shell:
        "genenet settings {wildcards.stage:q} --json {params.json:q} --out {output:q} --log {log:q}"
