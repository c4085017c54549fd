"""Collectives against the formulas of a ring, and where a group of GPUs lies."""

from __future__ import annotations

import pytest

from compiler.planner.time.links import Group, bandwidth, exchange_seconds, gather_seconds, ring_bytes
from rlc.catalogue import scan

H100 = scan().load_hardware()["H100-80-SXM"]
NVLINK, NIC = 450e9, 50e9


def test_a_rank_of_a_ring_sends_all_parts_but_its_own() -> None:
    """arXiv:1802.05799: (n - 1) / n of the data for a gather, twice that for an all-reduce."""
    assert ring_bytes(Group(8), 800.0) == pytest.approx(700.0)
    assert ring_bytes(Group(1), 800.0) == 0


def test_a_group_within_a_node_has_the_links_of_the_node() -> None:
    assert gather_seconds(Group(8), 8e9, H100, 1.0) == pytest.approx(7e9 / NVLINK)


def test_a_group_of_one_gpu_a_node_has_one_network_card() -> None:
    assert bandwidth(Group(4, stride=8), H100, 1.0) == pytest.approx(NIC)


def test_ranks_of_a_node_use_all_of_their_network_cards() -> None:
    """Two of each node: what leaves a node leaves by two cards."""
    assert bandwidth(Group(16, stride=4), H100, 1.0) == pytest.approx(2 * NIC)


def test_no_ring_is_quicker_than_the_links_within_a_node() -> None:
    assert bandwidth(Group(16), H100, 1.0) == pytest.approx(8 * NIC)
    assert bandwidth(Group(16), H100._replace(nic_gbit_per_s=4000), 1.0) == pytest.approx(NVLINK)


def test_copies_of_a_token_cross_the_network_once_for_a_node_or_once_each() -> None:
    """16 GPUs on two nodes and 8 places a token: half of all copies leave the node, or one in almost every token."""
    group, size = Group(16), 1e9
    each = exchange_seconds(group, size, 8, H100, 1.0, sends_once=False)
    assert each == pytest.approx(size * 8 / 2 / NIC)
    once = exchange_seconds(group, size, 8, H100, 1.0)
    assert once == pytest.approx(size * 2 * (1 - 0.5**8) / 2 / NIC)


def test_one_gpu_sends_nothing() -> None:
    assert gather_seconds(Group(1), 1e9, H100, 1.0) == 0
    assert exchange_seconds(Group(1), 1e9, 8, H100, 1.0) == 0
