"""The tree keeps the house's rules: sizes, doors, and nothing that runs at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SYSTEMS = sorted(path for path in (ROOT / "systems").rglob("*.py") if ".hanse" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
HANSE_DOORS_FOR_SYSTEMS = {
    "hanse",
    "hanse.client",
    "hanse.config",
    "hanse.core",
    "hanse.core.errors",
    "hanse.db",
    "hanse.durable",
    "hanse.events",
    "hanse.resilience",
    "hanse.security",
    "hanse.service",
    "hanse.system",
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES + SYSTEMS, ids=name)
def test_no_source_file_is_over_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_no_test_file_is_over_700_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 700


@pytest.mark.parametrize("path", SOURCES + SYSTEMS, ids=name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "a module needs a docstring"


@pytest.mark.parametrize("path", SOURCES + SYSTEMS + TESTS, ids=name)
def test_files_are_named_after_nouns(path: Path) -> None:
    assert not FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


ROOMS = sorted(path for path in (ROOT / "src" / "hanse").iterdir() if path.is_dir() and path.name != "__pycache__")


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.name)
def test_every_room_has_a_short_door_that_says_its_rules(room: Path) -> None:
    door = room / "__init__.py"
    assert len(door.read_text().splitlines()) <= 60
    text = ast.get_docstring(ast.parse(door.read_text())) or ""
    for heading in ("Purpose:", "May import:", "May touch:", "Guarantees:"):
        assert heading in text, f"{room.name}: the docstring lacks {heading!r}"


@pytest.mark.parametrize("path", SYSTEMS, ids=name)
def test_systems_use_public_doors_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hanse":
            assert node.module in HANSE_DOORS_FOR_SYSTEMS, f"line {node.lineno}: {node.module} is not a public door"


LOOP_ESCAPES = {"create_task", "ensure_future", "run_in_executor", "call_soon_threadsafe"}
ESCAPES_ALLOWED = (
    "src/hanse/core/",
    "src/hanse/system/",
    "src/hanse/cli/",
    "src/hanse/service/server.py",
    "src/hanse/testing/",
)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_tasks_and_threads_come_from_a_scope(path: Path) -> None:
    """What ruff's banned-api can't see: methods of the loop, `__del__`, finalizers."""
    if name(path).startswith(ESCAPES_ALLOWED):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in LOOP_ESCAPES, f"line {node.lineno}: use env.scope"
        if isinstance(node, ast.FunctionDef):
            assert node.name != "__del__", f"line {node.lineno}: release through env.scope.own"


def test_importing_hanse_loads_none_of_the_runtime() -> None:
    code = "import sys, hanse; print(*[m for m in ('fastapi', 'sqlalchemy', 'nats', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
