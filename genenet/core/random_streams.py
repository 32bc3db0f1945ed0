"""Streams of random numbers: which part of genenet draws from which, so that no two parts share one.

A stream is the first number of numpy's ``spawn_key``; the seed and the other numbers of the key are the user's own.
The numbers must stay: other numbers would give other results for the same seed.

Some parts need no stream, since their seed or the length of their key sets them apart: genomes are drawn with
``(round, index)``, patches with ``(iteration,)``, children with the ids of their parents in the seed.
"""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """The first number of a ``spawn_key``."""

    WEIGHTS_AND_DROPOUT = 1  # torch's seeds of a training: (stream, 0) initial weights, (stream, i) step i
    VOXELS_OF_CLASSES = 2  # voxels around which patches are drawn for rare classes
    AUGMENTATION = 3  # torch's seeds of augmentation: (stream, i) of step i
    PARENTS = 4  # which genomes become parents in evolution
    GREEDY_ENSEMBLES = 5  # bags of networks and sampled voxels of the greedy strategy
    INTERVALS = 7  # blocks drawn for the intervals of differences
    CALIBRATION = 8  # voxels on which the temperature of an ensemble is fitted
    TRIAL_DRAWS = 9  # genomes that init draws to see whether a search space can be built
    LABELLED_PATCHES = 10  # further positions of a patch without a label: (stream, iteration, patch)
    NORM_STATISTICS = 12  # tiles from which the statistics of a network's norms are fixed for a volume
    DEEP_SUPERVISION = 13  # torch's seed of the heads' initial weights: (stream, 0)
    GREY_VALUES = 14  # parts of an image whose grey values are compared with those of labelled images
    FIRST_LOOK = 15  # tiles of a volume that are predicted before it is segmented
    SURROGATE = 16  # seeds of the surrogate models of a search: (stream, round, genome)
    INHERITED_WEIGHTS = 17  # torch's seed of the shares of copied channels in a child: (stream, 0)
    ADAPTATION = 18  # the order of the pieces on which the last layers are trained: (stream,)
    SUGGESTED_BOXES = 20  # boxes to label that are drawn at random
