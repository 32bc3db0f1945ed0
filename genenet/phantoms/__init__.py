"""Synthetic, labelled volumes."""
