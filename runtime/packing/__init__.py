"""How a global batch is laid out for the trainer: micro-batches, and prefixes that sequences share."""
