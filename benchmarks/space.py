"""Drawing genomes of the published space on one core: seconds for 10 000, beside the seconds to build them.

python benchmarks/space.py [--genomes 10000]
"""

import time

import torch

from bench_tools import parser
from genenet.config.presets import preset_regions
from genenet.config.search import Draws
from genenet.genes.generation import draw
from genenet.genes.inspection import inspect
from genenet.genes.plan import plan
from genenet.networks.network import Network

BUILT = 200  # networks that are built, on torch's meta device: without memory for their weights


def seconds_each(function, arguments):
    """Return the processor's seconds for one call, and the results."""
    began = time.process_time()
    results = [function(argument) for argument in arguments]
    return (time.process_time() - began) / len(results), results


def build(genome):
    """Build a network without memory for its weights."""
    with torch.device("meta"):
        return Network(plan(genome.net, 7))


def main():
    """Print seconds, scaled to the number of genomes, and ratios to drawing."""
    arguments = parser(__doc__)
    arguments.add_argument("--genomes", type=int, default=10_000)
    n = arguments.parse_args().genomes
    torch.set_num_threads(1)
    regions = Draws(regions=preset_regions("published", {})).feasible_regions()
    drawing, genomes = seconds_each(lambda index: draw(regions, 1, index), range(n))
    some = genomes[:: max(1, n // BUILT)]
    describing, _ = seconds_each(lambda genome: inspect(genome, 7), some)
    building, networks = seconds_each(build, some)
    for what, seconds in (("draw", drawing), ("inspect", describing), ("build with torch", building)):
        print(f"{what:16} {n:,}: {n * seconds:6.1f} s, ratio to drawing {seconds / drawing:5.2f}")
    parameters = sorted(sum(p.numel() for p in network.parameters()) for network in networks)
    print(f"parameters: {parameters[0]:,} to {parameters[-1]:,}, median {parameters[len(parameters) // 2]:,}")


if __name__ == "__main__":
    main()
