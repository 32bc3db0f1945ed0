"""genenet: random search for segmentation networks of electron-microscopy volumes."""

__version__ = "0.1.0"
