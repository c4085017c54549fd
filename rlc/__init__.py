"""A declarative experiment compiler for reinforcement-learning post-training of language models."""
