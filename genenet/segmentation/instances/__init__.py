"""Objects that may touch: from the probabilities of objects and their borders to numbered objects and their tables."""
