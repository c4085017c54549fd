"""Several rewards at once: the sum of the scores of `[[reward.terms]]`, each multiplied by its weight.

The score of each term is kept by its name, before weights, in metrics and in samples, where algorithms that treat
several rewards apart find them (GDPO).  Where one term comes to no score the whole response has none.
"""
