# Names, input functions, and checks at the start.

LABELLED = [
    name for name in VOLUMES if stages.image_files(CONFIG, VOLUMES[name]).labels
]
PARTS = [
    part_name(i + 1, CONFIG.segmentation.jobs) for i in range(CONFIG.segmentation.jobs)
]
POSTPROCESSING = CONFIG.segmentation.postprocessing
OBJECTS = CONFIG.data.objects
TRAINING = fold_run("{run}", "{fold}") if FOLDS else "{run}"


# the networks that trainings begin with, if they start from another search
START = [PATHS.start] if CONFIG.start else []


def start_inputs(wildcards):
    return [str(path) for path in start_files(CONFIG.start)]


def training_images(split):
    return PATHS.fold_data("{fold}", split) if FOLDS else PATHS.data(split)


def image_inputs(image):
    return [str(path) for path in stages.image_files(CONFIG, image).all]


def given_inputs(wildcards):
    images = stages.labelled_images(CONFIG, wildcards.split)
    return [path for i in images if not i.phantom for path in image_inputs(i)]


def phantom_inputs(wildcards):
    images = stages.labelled_images(CONFIG, wildcards.split)
    return [path for i in images if i.phantom for path in image_inputs(i)]


# These options follow from the names of the files. Snakemake doesn't record what is made from the output, so searches
# of earlier versions, whose rule had no such options, keep their phantoms.
def phantom_options(wildcards, output):
    files = zip(phantom_objects.OBJECTS, output.instances)
    instances = [f"--instances={name}={path}" for name, path in files]
    return PHANTOMS[wildcards.phantom].options + instances


def is_bred(wildcards):
    return ROUNDS[int(wildcards.round)].is_bred


def earlier_rounds(wildcards):
    n_earlier = int(wildcards.round) if is_bred(wildcards) else 0
    return [PATHS.round(number) for number in range(n_earlier)]


def genomes_settings(wildcards):
    return PATHS.settings(planned_runs.genomes_stage(ROUNDS[int(wildcards.round)]))


# The trainings that a child's weights may come from are those of all earlier rounds, with search.evolution.inherit_weights.
def parents_of_round(wildcards):
    round_ = ROUNDS[int(wildcards.round)]
    return earlier_rounds(wildcards) if round_.inherits else []


def parents_of(run):
    found = re.match(r"r(\d+)/", run)
    return parents_of_round(SimpleNamespace(round=found[1])) if found else []


def rung_before(wildcards):
    return ROUNDS[int(wildcards.round)].before(int(wildcards.iterations))


def slot_genome(wildcards):
    before = rung_before(wildcards)
    if before:
        return PATHS.rung(wildcards.round, before.iterations)
    return PATHS.genome(f"r{wildcards.round}/{wildcards.index}")


def slot_of(wildcards, slot):
    values = {"round": wildcards.round, "iterations": wildcards.iterations}
    return SimpleNamespace(**values, index=slot_name(slot))


def rung_before_option(wildcards):
    before = rung_before(wildcards)
    return f"--after {before.iterations}" if before else ""


def rung_of(wildcards):
    (rung,) = (
        rung
        for rung in ROUNDS[int(wildcards.round)].rungs
        if rung.iterations == int(wildcards.iterations)
    )
    return rung


def slots_of(wildcards):
    n_slots = rung_of(wildcards).n_slots
    if PER_JOB > 1:
        return [
            PATHS.rung_pack(wildcards.round, wildcards.iterations, span)
            for span in planned_packs.spans(n_slots, PER_JOB)
        ]
    return [
        PATHS.slot(wildcards.round, wildcards.iterations, slot_name(i))
        for i in range(n_slots)
    ]


def control_trainings(wildcards):
    runs = CONTROLS[wildcards.control].runs
    return [path for run in runs for path in PATHS.run(run).outputs()]


def control_genomes(wildcards):
    return [PATHS.genome(run) for run in CONTROLS[wildcards.control].runs]


# Cores of a job that runs an ensemble: all of this machine. A job on a cluster asks for two, unless the config or the
# profile (set-threads) says otherwise, and its command uses all that the job has.
ENSEMBLE_THREADS = CONFIG.segmentation.threads or max(
    2, CONFIG.training.threads, workflow.resource_settings.cores or 1
)


def as_share(wildcards):
    part, n_parts = wildcards.part.split("-of-")
    return f"{int(part)}/{int(n_parts)}"


def stop_before_the_job_ends(wildcards, resources):
    runtime = resources.get("runtime")  # minutes, from the profile
    return f"--stop-after-minutes {minutes_to_use(runtime):g}" if runtime else ""


# The profile's retries are for jobs that continue where they stopped. Other jobs are tried three times on a
# cluster, where a node may be at fault, and once on this machine. The rules themselves have no
# retries: Snakemake inside a Slurm job would repeat those as well.
def limit_retries():
    most = 0 if workflow.executor_plugin.name == "local" else 2
    for each in workflow.rules:
        if each.name not in (
            "train",
            "rung",
            "refit",
            "train_pack",
            "rung_pack",
            "segment",
        ):
            each.restart_times = min(most, each.restart_times)


# An image that can't be segmented is an error now, and not after the whole search.
def check_volumes_to_segment():
    jobs = workflow.dag.needrun_jobs()
    names = {job.wildcards.volume for job in jobs if job.rule.name == "segment"}
    image_checks.check_images(
        CONFIG, [f"{image_checks.VOLUMES}.{name}" for name in names]
    )


def try_what_jobs_need():
    deployment = workflow.deployment_settings
    try:
        check_volumes_to_segment()
        check_not_in_the_future(given_images(CONFIG), CONFIG.results)
        if (
            CONFIG.container
            and DeploymentMethod.APPTAINER in deployment.deployment_method
        ):
            check_search_container(CONFIG, CONFIG.container, deployment.apptainer_args)
        if workflow.executor_plugin.name == "slurm":
            executor = workflow.scheduler._executor
            if warning := slurm_plugin.turn_off_arrays(executor):
                print(warning, file=sys.stderr)
            else:  # it calls the plugin's own functions, which others may not have
                try_submission(executor, workflow.dag.needrun_jobs())
    except InputError as error:
        raise WorkflowError(as_error(error)) from None
