"""Which genomes are trained, and how far: successive halving and evolution."""
