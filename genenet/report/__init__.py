"""Pictures for people: the report with its plots and slices, and drawings of genes and networks."""
