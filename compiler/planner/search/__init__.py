"""The layout of a job that nobody wrote: what is legal, what fits, what is fastest, and what stood in its way."""
