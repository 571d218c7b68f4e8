"""How a child explains why it could not start."""

import traceback
from pathlib import Path
from types import CodeType

from hanse.system.child import explain


def failure(code: CodeType) -> Exception:
    try:
        exec(code, {})
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_the_innermost_own_line_is_named(tmp_path: Path) -> None:
    code = compile("import json\n\njson.loads('{')\n", str(tmp_path / "shop" / "app.py"), "exec")
    line = explain(failure(code), str(tmp_path))
    assert line.startswith("shop/app.py:3: JSONDecodeError: Expecting property name")


def test_a_syntax_error_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    file = str(tmp_path / "shop" / "app.py")
    try:
        compile("x = 1\ny = = 2\n", file, "exec")
    except SyntaxError as error:
        assert explain(error, str(tmp_path)) == "shop/app.py:2: SyntaxError: invalid syntax"


def test_an_error_from_elsewhere_has_no_place(tmp_path: Path) -> None:
    assert explain(RuntimeError(), str(tmp_path)) == "RuntimeError"
    assert explain(RuntimeError("one\ntwo"), str(tmp_path)) == "RuntimeError: one"
    assert traceback.format_exception_only(RuntimeError())  # it never needs a traceback
