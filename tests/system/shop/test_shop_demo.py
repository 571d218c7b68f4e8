"""The demo passes, again and again, against one running shop."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tests.system.shop.shop_rig import ROOT, RunningShop

pytestmark = pytest.mark.system


def test_the_demo_passes_again_and_again(shop: RunningShop) -> None:
    command = [sys.executable, "-m", "systems.shop.demo", "--url", shop.url]
    for _ in range(3):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all as promised" in done.stdout
        assert done.stdout.count("trace ") == 9


class Confused(BaseHTTPRequestHandler):
    """A shop that breaks its first promise."""

    def do_POST(self) -> None:
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_the_demo_says_which_promise_was_broken() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Confused) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        command = [sys.executable, "-m", "systems.shop.demo", "--url", f"http://127.0.0.1:{server.server_port}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
        server.shutdown()
        thread.join()
    assert done.returncode == 1
    assert "FAILED  register and sign in: POST /api/auth/register answered 500 instead of 201" in done.stderr


def test_the_demo_says_when_there_is_no_shop() -> None:
    command = [sys.executable, "-m", "systems.shop.demo", "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 2
    assert "does not answer" in done.stderr
