"""From scored trainings to an ensemble: ranking, strategies, curve, and the ensemble's folder."""
