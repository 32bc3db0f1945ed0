"""A volume through an ensemble, and what follows: writing, evaluation, objects."""
