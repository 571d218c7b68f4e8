"""Ports: the wanted one, another one, or a clear refusal."""

import os
import socket
from collections.abc import Iterator

import pytest

from hanse.system.ports import PortTaken, choose, holder, listen, reserve

HOST = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_is_taken_as_wanted(taken: int) -> None:
    free = choose(HOST, None).port
    assert free != taken
    assert choose(HOST, free) == choose(HOST, free)
    assert (choose(HOST, free).port, choose(HOST, free).note) == (free, "")


def test_a_taken_port_is_named_with_its_holder_and_replaced(taken: int) -> None:
    choice = choose(HOST, taken, label="gateway")
    assert choice.port != taken
    assert choice.note.startswith(f"gateway: port {taken} is taken by ")
    assert f"(pid {os.getpid()}); using {choice.port}" in choice.note


def test_a_fixed_port_is_not_replaced(taken: int) -> None:
    with pytest.raises(PortTaken, match=rf"orders: port {taken} is taken by .*\(pid {os.getpid()}\), and it is fixed"):
        listen(HOST, taken, fixed=True, label="orders")


def test_the_holder_of_a_free_port_is_nobody() -> None:
    assert holder(choose(HOST, None).port) == ""


def test_a_listener_accepts_at_once(taken: int) -> None:
    made, choice = listen(HOST, None)
    with made, socket.create_connection((HOST, choice.port), timeout=1):
        assert made.getsockname()[1] == choice.port


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortTaken, match=r"can't listen on 192\.0\.2\.1:9000"):
        choose("192.0.2.1", 9000, label="gateway")


def test_a_reserved_port_is_everybody_elses_taken_port_but_the_servers_own() -> None:
    kept, choice = reserve("127.0.0.1", None)
    with kept:
        assert choose("127.0.0.1", choice.port).port != choice.port
        with pytest.raises(PortTaken):
            reserve("127.0.0.1", choice.port, fixed=True)
        for _ in range(2):  # the server, and the server again after a crash
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                server.bind(("127.0.0.1", choice.port))
                server.listen()
                with socket.create_connection(("127.0.0.1", choice.port), timeout=2):
                    server.accept()[0].close()
    assert choose("127.0.0.1", choice.port).port == choice.port
