"""The networks that pin the semantics: Guay (2017), Ronneberger et al. (2015)."""

from genenet.genes.genome import Genome


def published(name, n_convkernels, n_stacks, n_convlayers, decoder, input_size, log_learning_rate):
    net = {
        "n_convkernels": n_convkernels,
        "n_stacks": n_stacks,
        "n_convlayers": n_convlayers,
        "input_size": input_size,
        "log_learning_rate": log_learning_rate,
    }
    stacks = {
        f"net/decode/stack{n_stacks - i}": {"n_convlayers": n - n_convlayers} for i, n in enumerate(decoder)
    }
    return Genome(name, {"net": net, **stacks})


# genome, classes, parameters, input, output
PUBLISHED = [
    (published("0905_46", 110, 1, 1, (1, 1), 48, -3.88), 7, 534_717, 48, 40),
    (published("22", 53, 1, 1, (3, 2), 48, -5.2), 7, 352_510, 48, 30),
    (published("1", 30, 1, 5, (6, 4), 150, -2.79), 7, 259_447, 150, 108),
    (published("unet", 64, 4, 2, (2, 2, 2, 2, 2), 572, -3), 7, 31_030_983, 572, 388),
    (published("unet", 64, 4, 2, (2, 2, 2, 2, 2), 572, -3), 2, 31_030_658, 572, 388),
]
