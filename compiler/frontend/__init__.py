"""From text to Value: what was written, each piece with its place and its priority."""
