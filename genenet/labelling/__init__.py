"""Which boxes of a volume to label next, and corrected boxes as labels of the volume."""
