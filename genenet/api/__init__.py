"""The Python interface, which works on arrays; ``import genenet`` provides its names."""
