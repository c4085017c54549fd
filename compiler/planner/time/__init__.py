"""How long a step takes, phase by phase: arithmetic over a network, GPUs and a layout."""
