# Names and input functions that the rules share.

LABELLED = [
    name for name in VOLUMES if stages.image_files(CONFIG, VOLUMES[name]).labels
]
PARTS = [
    part_name(i + 1, CONFIG.segmentation.jobs) for i in range(CONFIG.segmentation.jobs)
]


def image_inputs(image):
    files = stages.image_files(CONFIG, image)
    return [str(path) for path in [*files.image, *(files.labels or [])]]


def split_inputs(wildcards):
    images = getattr(CONFIG.data, wildcards.split)
    return [path for image in images for path in image_inputs(image)]


def as_share(wildcards):
    part, n_parts = wildcards.part.split("-of-")
    return f"{int(part)}/{int(n_parts)}"
