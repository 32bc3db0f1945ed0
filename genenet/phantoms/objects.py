"""Which objects a phantom numbers; without numpy, for configs and `genenet status`."""

OBJECTS = {
    "cell": (1, 2, 3, 4, 5, 6),
    "mitochondrion": (2,),
    "alpha granule": (3,),
    "canalicular vessel": (4,),
    "dense granule body": (5, 6),
}
"""The classes whose objects are numbered, and the labels that an object consists of."""
