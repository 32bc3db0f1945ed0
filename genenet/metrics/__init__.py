"""Scores computed from tables of counts."""
