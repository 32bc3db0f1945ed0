"""Segmenting volumes with an ensemble, and what follows: post-processing, objects, export, evaluation, viewing."""
