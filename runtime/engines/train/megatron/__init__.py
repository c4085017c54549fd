"""Training by Megatron-core: a model split over processes, each of which builds the same trainer of its part."""
