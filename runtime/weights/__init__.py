"""Model weights: where they start, how they are written, and how they travel from trainer to engine."""
