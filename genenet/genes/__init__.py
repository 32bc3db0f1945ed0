"""What a network is, without torch: hyperparameters, gene graphs, genome files, variation and plans."""
