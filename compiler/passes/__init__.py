"""One file per pass.  A pass is pure: it returns a new experiment and records the origin of each field that it set.

A pass never changes what the user wrote: it derives what is missing.  `pipeline.py` holds the order.
"""
