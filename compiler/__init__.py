"""The experiment compiler: a spec goes in, a Plan comes out.

Pure Python on purpose: nothing below this package imports torch, ray, numpy or anything else that is slow to load.
"""
