"""The README's first service is a complete system: it is taken from the page, started, and asked."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[3]
HANSE = Path(sys.executable).with_name("hanse")


def first_service() -> str:
    """The page's first Python block."""
    page = (ROOT / "README.md").read_text()
    [block, *_] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return str(block)


def test_the_first_service_has_at_most_twenty_lines() -> None:
    assert len([line for line in first_service().splitlines() if line.strip()]) <= 20


def test_the_first_service_runs_and_answers_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(first_service())
    up = subprocess.Popen(
        [HANSE, "up", "greeter.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert up.stdout is not None
        records = map(json.loads, up.stdout)
        gateway = next(record["gateway"] for record in records if record["event"] == "up")
        with urllib.request.urlopen(f"{gateway}/hello/ada", timeout=10) as response:
            assert json.load(response) == {"message": "Hello, ada", "times": 1}
            assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-trace-id"])
            assert response.headers["x-correlation-id"]
        for path in ("/health", "/metrics"):
            with urllib.request.urlopen(f"{gateway}{path}", timeout=10) as response:
                assert response.status == 200
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=20)
    assert up.returncode == 0
