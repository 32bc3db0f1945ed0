"""Segmenting volumes with an ensemble, and later steps: post-processing, objects, export, evaluation, viewing."""
