"""Which genomes are trained, and for how long: successive halving and evolution."""
