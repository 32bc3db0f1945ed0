"""Feasible regions of small networks."""

from genenet.config.model import Search

REGIONS = {
    "net": {
        "n_convkernels": [4, 16],
        "n_stacks": [1, 3],
        "n_convlayers": [1, 3],
        "input_size": [60, 120],
        "log_learning_rate": [-4, -2],
        "dropout_rate": [0.1, 0.3],
        "activation": ["relu", "elu"],
        "kernel_width": [3, 7],
    },
    "path": {"dropout_rate": [-0.3, 0.3]},
    "stack": {"n_convlayers": [-2, 2], "dropout_rate": [-0.3, 0.3]},
    "layer": {
        "n_convkernels": [-8, 8],
        "activation": [-1, 1],
        "dropout_rate": [-0.3, 0.3],
        "kernel_width": [-2, 2],
    },
}


FEASIBLE = Search(regions=REGIONS).feasible_regions()

WITH_POOLING = {
    **REGIONS,
    "net": {**REGIONS["net"], "pooling": ["max", "conv"]},
    "edge": {"pooling": [-1, 1]},
}
FEASIBLE_WITH_POOLING = Search(regions=WITH_POOLING).feasible_regions()
