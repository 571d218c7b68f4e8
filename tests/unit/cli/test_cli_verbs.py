"""The command line: help, exit codes, errors in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hanse import __version__
from hanse.cli.main import VERBS, main
from hanse.cli.output import headline, status_table


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    assert f"\nexamples:\n  hanse {verb}" in text
    assert "--json" in text


def test_help_lists_all_verbs_and_loads_none(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys\nfrom hanse.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in sys.modules if m.startswith(('hanse.', 'asyncio', 'pydantic'))], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"    {verb} " in done.stdout for verb in VERBS)
    assert done.stderr.strip() == "['hanse.cli', 'hanse.cli.main']"


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"hanse {__version__}\n"


@pytest.mark.parametrize("argv", [["launch"], ["scale", "orders"], ["scale", "orders=x"], ["up", "--port", "0"], []])
def test_wrong_use_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(argv)
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert "usage: hanse" in "".join(capsys.readouterr())


def topology(folder: Path, route_to: str) -> Path:
    (folder / "orders").mkdir()
    (folder / "orders" / "app.py").write_text("service = None\n")
    (folder / "system.py").write_text(
        "from hanse import System\n"
        f'system = System("store")\nsystem.service("{folder.name}.orders.app")\n'
        f'gateway = system.gateway()\ngateway.route("/api", "{route_to}")\ngateway.route("/a", "nobody")\n'
    )
    return folder


@pytest.mark.parametrize("verb", ["check", "up"])
def test_an_invalid_topology_is_2_with_a_line_each(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, str(topology(tmp_path, "oders"))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(
        'system.py:5: route "/api" goes to service "oders", which does not exist. Did you mean "orders"?'
    )
    assert not (tmp_path / ".hanse").exists()


def test_errors_are_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(tmp_path)]) == 2
    assert "no system.py here" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    "argv", [["ps"], ["down"], ["restart", "orders", "--system"], ["scale", "orders=2", "--system"]]
)
def test_a_system_that_does_not_run_is_1(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "system.py").touch()
    assert main([*argv, str(tmp_path)]) == 1
    assert "is not running; start it with: hanse up" in capsys.readouterr().err


STATUS = {
    "system": "store",
    "state": "up",
    "up_s": 2.14,
    "gateway": "http://127.0.0.1:8080",
    "services": [
        {
            "service": "orders",
            "state": "ready",
            "reason": "",
            "start_s": 0.412,
            "memory_bytes": 32 << 20,
            "replicas": [{"address": "127.0.0.1:41207"}, {"address": "127.0.0.1:41208"}],
        },
        {
            "service": "recommendations",
            "state": "failed",
            "reason": "shop/app.py:3: SyntaxError: invalid syntax",
            "start_s": None,
            "memory_bytes": 0,
            "replicas": [{"address": "127.0.0.1:41209"}],
        },
    ],
}


def test_the_table_is_aligned() -> None:
    assert status_table(STATUS, colour=False).splitlines() == [
        "  SERVICE          REPLICAS  STATE   START   MEMORY  ADDRESS",
        "  orders           2         ready   0.41 s  32 MB   127.0.0.1:41207, 127.0.0.1:41208",
        "  recommendations  1         failed  -       -       127.0.0.1:41209",
        "  recommendations: shop/app.py:3: SyntaxError: invalid syntax",
    ]
    assert headline(STATUS, colour=False) == (
        "  store is up in 2.1 s, 1 of 2 services not ready   gateway http://127.0.0.1:8080"
    )
