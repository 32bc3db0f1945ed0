"""Drawings of gene graphs and networks."""
