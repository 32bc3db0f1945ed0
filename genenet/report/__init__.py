"""What is made for the eye: the report, plots, slices and drawings."""
