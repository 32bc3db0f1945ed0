"""Reads and writes images, box by box."""
