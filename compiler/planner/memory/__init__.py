"""What the memory of a device is filled with, phase by phase, as named lines."""
