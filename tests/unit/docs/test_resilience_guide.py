"""The guide's examples run as they stand, in order, and its tables say what the code does."""

import ast
import asyncio
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from hanse.resilience import PipelineConfig

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "resilience.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


async def test_the_examples_run_in_order() -> None:
    names: dict[str, Any] = {}
    async with asyncio.timeout(20):
        for number, block in enumerate(blocks(), 1):
            code = compile(block, f"{PAGE.name}, example {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.iscoroutine(running):
                await running


def test_every_pattern_has_an_example() -> None:
    text = "".join(blocks())
    for name in ("Timeout", "Retry", "CircuitBreaker", "Bulkhead", "RateLimiter", "Fallback", "Hedge", "AdaptiveLimit"):
        assert re.search(rf"\b{name}\(", text), name


def test_the_documented_order_is_the_one_that_is_built() -> None:
    documented = re.findall(r"^\| \d \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    built = [field.name for field in fields(PipelineConfig) if field.name != "budget"]
    assert documented == built
