"""The Python interface, on arrays; ``genenet/__init__.py`` hands its names on."""
