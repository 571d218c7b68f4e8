"""The demo passes, again and again, against one running shop."""

import subprocess
import sys

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


def test_the_demo_says_when_there_is_no_shop() -> None:
    command = [sys.executable, "-m", "systems.shop.demo", "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 2
    assert "does not answer" in done.stderr
