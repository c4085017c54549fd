"""Machines that reach each other or do not, as addresses of the loopback."""

from __future__ import annotations

import socket
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from runtime.doctor.reach import Doorkeeper, add_up, free_port, unreached
from tests.support.free_port import free_port as closed_port

HERE = "127.0.0.1"


def test_an_open_door_is_reached_by_as_many_as_come() -> None:
    keepers = [Doorkeeper(node, HERE, ()) for node in range(40)]
    try:
        assert unreached([keeper.door for keeper in keepers] * 2) == []
    finally:
        for keeper in keepers:
            keeper.close()


def test_a_door_that_is_closed_or_somebody_else_s_is_named() -> None:
    keeper, other = Doorkeeper(1, HERE, ()), Doorkeeper(2, HERE, ())
    closed = keeper.door._replace(node=3, port=closed_port())
    stolen = keeper.door._replace(node=4, port=other.door.port)
    try:
        found = unreached([keeper.door, closed, other.door, stolen])
    finally:
        keeper.close()
        other.close()
    assert [(door.node, why) for door, why in found] == [(3, "Connection refused"), (4, "somebody else answers there")]
    assert [door.node for door, _ in unreached([keeper.door])] == [1]


def test_a_door_is_at_the_first_of_its_ports_that_is_free() -> None:
    with socket.create_server((HERE, 0)) as taken:
        free = closed_port()
        keeper = Doorkeeper(0, HERE, (taken.getsockname()[1], free))
        keeper.close()
    assert keeper.door.port == free


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match="assign"):
        Doorkeeper(0, "192.0.2.1", ())


@pytest.mark.torch
@pytest.mark.slow
def test_all_that_come_add_up_and_who_waits_alone_says_so() -> None:
    port = free_port(HERE)
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        asked = [pool.submit(add_up, HERE, port, rank=rank, num_ranks=3, timeout_s=60) for rank in range(3)]
        assert [one.result() for one in asked] == ["", "", ""]
        alone = pool.submit(add_up, HERE, free_port(HERE), rank=0, num_ranks=2, timeout_s=1).result()
    assert "imed out" in alone or "imeout" in alone
