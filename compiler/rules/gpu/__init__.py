"""Rules about GPUs: one file per rule, as in the folder above; a plan without GPUs does not load them."""
