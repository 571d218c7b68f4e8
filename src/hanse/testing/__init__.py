"""Testing: what users' tests and our own stand on.

Purpose: clocks under the test's control, failing upstreams, real servers, conformance suites for backends.
May import: every room.
May touch: sockets and processes on loopback, started and ended by the test that asked for them.
Guarantees: nothing here is imported by a running service.
"""
