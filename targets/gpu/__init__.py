"""What the targets with GPUs share: their data, and how a plan becomes launches of engines."""
