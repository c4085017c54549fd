"""Whether machines have what a plan asks of them."""
