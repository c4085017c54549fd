"""Shared prefixes against a dictionary of all prefixes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.packing.prefixes import common_prefix, shared_prefixes

SEQUENCES = st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=12)


@given(SEQUENCES)
def test_nodes_are_exactly_the_distinct_prefixes(sequences: list[list[int]]) -> None:
    forest = shared_prefixes(sequences)
    node_of: dict[tuple[int, ...], int] = {}
    for tokens, path in zip(sequences, forest.paths, strict=True):
        assert len(path) == len(tokens)
        for p, node in enumerate(path):
            assert node_of.setdefault(tuple(tokens[: p + 1]), node) == node
    assert len(set(node_of.values())) == len(node_of) == forest.num_nodes


@given(SEQUENCES)
def test_own_nodes_are_consecutive_in_the_order_of_owners(sequences: list[list[int]]) -> None:
    forest = shared_prefixes(sequences)
    own = [node for i in forest.owners for node in forest.paths[i][forest.first_own[i] :]]
    assert own == list(range(forest.num_nodes))


def test_a_group_computes_its_prompt_once() -> None:
    forest = shared_prefixes([[7, 8, 9, 1], [7, 8, 9, 2], [7, 8, 9, 1]])
    assert forest.num_nodes == 5


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_prefix_is_the_longest(a: list[int], b: list[int]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]
