"""The Python interface, on arrays; its names are those of ``import genenet``."""
