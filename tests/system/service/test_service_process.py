"""A service process: says when it is ready, answers over real connections, ends well when it is told to."""

import socket
import threading
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.system


def test_it_says_ready_answers_and_ends_with_zero(launch: Any) -> None:
    process = launch("waiter:service", service="waiter", instance="waiter-1")
    assert process.said == "ready\n"
    status, headers, body = process.call("GET", "/hello/ada", headers={"x-correlation-id": "c-1"})
    assert (status, body) == (200, {"message": "Hello, ada"})
    assert (headers["x-correlation-id"], len(headers["x-trace-id"])) == ("c-1", 32)
    assert process.call("GET", "/ready")[0] == 200
    process.signal()
    assert process.wait() == 0
    (line,) = process.lines("request")
    assert (line["correlation_id"], line["instance"], line["route"]) == ("c-1", "waiter-1", "/hello/{name}")
    assert "Traceback" not in process.log()


def test_a_service_that_can_not_start_says_why_and_ends(launch: Any) -> None:
    process = launch("broken:service")
    assert process.said == ""
    assert process.wait() != 0
    assert "the warehouse is closed" in process.log()


def test_requests_in_hand_are_finished_and_connections_told_to_close(launch: Any) -> None:
    process = launch("waiter:service")
    kept = process.connect()
    kept.request("GET", "/hello/ada")
    first = kept.getresponse()
    first.read()
    assert first.getheader("connection") != "close"
    kept.request("GET", "/wait?seconds=0.6")
    while "http_server_active_requests 1.0" not in process.call("GET", "/metrics")[2]:
        pass
    process.signal()
    answer = kept.getresponse()
    assert (answer.status, answer.read(), answer.getheader("connection")) == (200, b'"waited"', "close")
    assert process.wait() == 0


def test_what_takes_longer_than_the_grace_is_cut_off_with_an_answer(launch: Any) -> None:
    process = launch("waiter:service", grace_s="0.5")
    connection = process.begin("/wait?seconds=30")
    process.signal()
    began = time.monotonic()
    answer = connection.getresponse()
    assert answer.status == 503
    assert b'"unavailable"' in answer.read()
    assert process.wait() == 1
    assert time.monotonic() - began < 3


def test_a_second_signal_ends_it_at_once(launch: Any) -> None:
    process = launch("waiter:service", grace_s="30")
    process.begin("/wait?seconds=30")
    process.signal()
    while not process.lines("service stops"):
        time.sleep(0.01)
    began = time.monotonic()
    process.signal()
    assert process.wait() == 1
    assert time.monotonic() - began < 3


def test_a_stream_of_events_ends_in_good_order(launch: Any) -> None:
    process = launch("waiter:service")
    with socket.create_connection(("127.0.0.1", process.port), 10) as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
        process.signal()
        while chunk := connection.recv(4096):
            received += chunk
    assert received.endswith(b"0\r\n\r\n")
    assert process.wait() == 0


def test_a_websocket_is_told_that_the_service_restarts(launch: Any) -> None:
    process = launch("waiter:service")
    with connect(f"ws://127.0.0.1:{process.port}/ws") as socket_:
        assert socket_.recv(timeout=5) == "hello"
        process.signal()
        with pytest.raises(ConnectionClosed) as caught:
            socket_.recv(timeout=5)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
    assert process.wait() == 0


def test_a_stream_whose_reader_left_is_ended(launch: Any) -> None:
    process = launch("waiter:service")
    with socket.create_connection(("127.0.0.1", process.port), 10) as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
        assert "http_server_active_requests 1.0" in process.call("GET", "/metrics")[2]
    end = time.monotonic() + 5
    while "http_server_active_requests 0.0" not in process.call("GET", "/metrics")[2]:
        assert time.monotonic() < end, process.log()


def test_a_signal_during_the_start_ends_it(launch: Any) -> None:
    process = launch("sleeper:service", wait=False)
    while not process.lines("starting"):
        time.sleep(0.01)
    process.signal()
    assert process.wait() == 0
    assert "Traceback" not in process.log()


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
        return received


def test_bodies_are_bounded_on_the_wire_too(launch: Any) -> None:
    process = launch("waiter:service", body_limit_bytes="1000")
    head = b"POST /size HTTP/1.1\r\nhost: x\r\n"
    assert b" 200 " in raw(process.port, head + b"content-length: 1000\r\n\r\n" + b"x" * 1000).split(b"\r\n")[0]
    assert b" 413 " in raw(process.port, head + b"content-length: 1000000000\r\n\r\n").split(b"\r\n")[0]
    chunk = b"258\r\n" + b"x" * 600 + b"\r\n"
    chunked = head + b"transfer-encoding: chunked\r\n\r\n"
    assert b" 200 " in raw(process.port, chunked + chunk + b"0\r\n\r\n").split(b"\r\n")[0]
    assert b" 413 " in raw(process.port, chunked + chunk * 2 + b"0\r\n\r\n").split(b"\r\n")[0]
    both = head + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    assert raw(process.port, both).endswith(b"\r\n\r\n0")  # the length is not believed (RFC 9112, section 6.1)


def test_no_connection_is_refused_while_it_is_replaced(launch: Any, door: socket.socket) -> None:
    first = launch("waiter:service", on=door)
    failures: list[str] = []
    answered = [0]
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            try:
                status = first.call("GET", "/hello/ada")[0]
                answered[0] += 1
                if status != 200:
                    failures.append(str(status))
            except OSError as error:
                failures.append(repr(error))

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        second = launch("waiter:service", on=door)
        first.signal()
        assert first.wait() == 0
        before = answered[0]
        while answered[0] < before + 20:
            time.sleep(0.01)
    finally:
        over.set()
        knocking.join()
    assert failures == []
    assert second.said == "ready\n"
