"""Engines that train: they hold weights and optimizer state, compute log-probs, and take steps."""
