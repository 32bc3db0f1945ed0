"""One training on disk, from its images to its scores."""
