"""Processes of a benchmark: start, wait until they answer, what they cost, and a sure end."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
HANSE = str(Path(sys.executable).with_name("hanse"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own that is surely gone afterwards, with its children."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        family = tree([process.pid])
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for member in family:
            if member.is_running():
                member.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_for(urls: Iterable[str], *, within: float = 60.0) -> None:
    """Until every URL answers 200."""
    end = time.monotonic() + within
    waiting = list(urls)
    while waiting:
        waiting = [url for url in waiting if not answers(url)]
        if time.monotonic() > end:
            raise TimeoutError(f"no answer from {waiting}")
        time.sleep(0.005)


def tree(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            for member in [process, *process.children(recursive=True)]:
                found[member.pid] = member
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def memory_mb(processes: Iterable[psutil.Process]) -> float:
    """Proportional set size of all, in MB: pages shared between processes count once."""
    return sum(process.memory_full_info().pss for process in processes) / 1e6


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def hanse(*arguments: str, **environment: str) -> str:
    """Run the `hanse` command to its end; what it printed."""
    done = subprocess.run(
        [HANSE, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"hanse {' '.join(arguments)}: {done.stderr or done.stdout}")
    return done.stdout


def hanse_json(*arguments: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(hanse(*arguments, "--json"))
    return value
