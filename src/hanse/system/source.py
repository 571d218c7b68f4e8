"""Reads Python source without running it: where a module lives and what it defines at its top."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

_CATCH_ALL = {"*", "__getattr__"}


def find_module(module: str, root: Path) -> Path | None:
    """The file of a module, looked up from `root` and then the interpreter's path. Imports nothing.

    Packages without an `__init__.py` are found too; modules that are not Python source, or that come from an import
    hook, are not.
    """
    *packages, last = module.split(".")
    folders = [root, *map(Path, sys.path)]
    for name in packages:
        regular = next((f / name for f in folders if (f / name / "__init__.py").is_file()), None)
        folders = [regular] if regular else [f / name for f in folders if (f / name).is_dir()]
    candidates = (file for folder in folders for file in (folder / last / "__init__.py", folder / f"{last}.py"))
    return next((file for file in candidates if file.is_file()), None)


@dataclass(frozen=True, slots=True)
class Definition:
    """A name bound at the top of a module, by a call where that is visible: `service = Service("orders")`."""

    name: str
    line: int
    called: str = ""
    first_argument: str = ""


def definitions(file: Path) -> list[Definition]:
    """What a module binds at its top level, in order.

    Raises:
        SyntaxError: it is not Python; `lineno` says where.
        OSError: it can't be read.
    """
    found: list[Definition] = []
    for node in ast.parse(file.read_bytes(), str(file)).body:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    found += [_bound(n.id, node.lineno, value) for n in ast.walk(target) if isinstance(n, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                found.append(_bound(name, node.lineno, value))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.append(Definition(name, node.lineno))
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found += [Definition(alias.asname or alias.name.split(".")[0], node.lineno) for alias in names]
            case ast.If() | ast.Try() | ast.With():
                found.append(Definition("*", node.lineno))
    return found


def defines(found: list[Definition], name: str) -> bool:
    """Whether the module may have `name`: certain unless it imports a star or decides at run time."""
    return any(item.name == name or item.name in _CATCH_ALL for item in found)


def _bound(name: str, line: int, value: ast.expr | None) -> Definition:
    if not isinstance(value, ast.Call):
        return Definition(name, line)
    function = value.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    argument = value.args[0] if value.args else next((k.value for k in value.keywords if k.arg == "name"), None)
    text = argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""
    return Definition(name, line, called, text)
