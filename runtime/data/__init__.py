"""Training and evaluation data: tokenizers, JSON-lines files, prompts, and the order in which rows are drawn."""
