# Cross-validation (data.folds). Each fold has its own images, and a training of each genome: rule train, whose run is
# then r0/003/folds/2. The trainings of a genome are joined, and from then on they are read as one training.

if FOLDS:

    rule prepare_fold:
        input:
            images=ancient(given_inputs),
            phantoms=phantom_inputs,
            settings=PATHS.settings(planned_runs.fold_stage("{fold}", "{split}")),
        output:
            PATHS.fold_data("{fold}", "{split}"),
        log:
            f"{PATHS.results}/logs/prepare/folds/{{fold}}/{{split}}.log",
        message:
            "check and pack the {wildcards.split} images of fold {wildcards.fold}"
        shell:
            "genenet prepare --settings {input.settings:q} --out {output:q} --log {log:q}"

    rule join:
        input:
            folds=lambda wildcards: planned_packs.ends_of_folds(
                CONFIG, ROUNDS, wildcards.run, PATHS
            ),
            images=[PATHS.fold_data(fold, "validation") for fold in FOLDS],
            validation=PATHS.data("validation"),
        output:
            RUN.outputs(),
        log:
            PATHS.train_log("{run}"),
        params:
            results=lambda wildcards: PATHS.results,
            folds=len(FOLDS),
        message:
            "join the folds of {wildcards.run}"
        shell:
            "genenet join --results {params.results:q} --run {wildcards.run:q} --folds {params.folds:q} --log {log:q}"
