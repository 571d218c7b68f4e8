"""`load`: from a path on the command line to a `System`."""

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from hanse.core.errors import ConfigurationError
from hanse.system.source import definitions
from hanse.system.topology import System, shown


def load(path: Path | str) -> System:
    """Read a topology.

    Args:
        path: a folder with a `system.py`, such a file, or a Python file with one `Service` in it, which then becomes a
            system of its own with every path routed to that service.

    Raises:
        ConfigurationError: nothing there, or it can't be run; one line that says where. The topology is not yet
            checked: that is `System.validate`.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "system.py").is_file():
            raise ConfigurationError(f"{shown(path)}: no system.py here. Name a system's folder or a service's file.")
        path = path / "system.py"
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file or folder. Name a system's folder or a service's file.")
    try:
        found = definitions(path)
    except SyntaxError as error:
        raise ConfigurationError(f"{shown(path)}:{error.lineno}: {error.msg}") from None
    services = [item for item in found if item.called == "Service"]
    if services and not any(item.called == "System" for item in found):
        if len(services) > 1:
            raise ConfigurationError(f"{shown(path)}:{services[1].line}: a second Service; one file runs one service")
        return _single(path, services[0].name, services[0].first_argument or path.stem)
    return _topology(path)


def _single(path: Path, attribute: str, name: str) -> System:
    system = System(name, file=path, root=path.absolute().parent)
    system.state = system.folder / ".hanse" / path.stem
    service = system.service(f"{path.stem}:{attribute}", name)
    system.gateway().route("/", service)
    return system


def _topology(path: Path) -> System:
    path = path.absolute()
    with _on_path(path.parent.parent):
        module = _run(path)
    systems = list({id(value): value for value in vars(module).values() if isinstance(value, System)}.values())
    if len(systems) != 1:
        count = "no" if not systems else "more than one"
        raise ConfigurationError(f'{shown(path)}: {count} System in it; write: system = System("name")')
    systems[0].file, systems[0].folder = path, path.parent
    return systems[0]


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{shown(path)}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(path.parent)]
        line = own[-1].lineno if own else 0
        file = own[-1].filename if own else path
        what = error.message if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{shown(file)}:{line}: {what}") from error
    return module


@contextmanager
def _on_path(root: Path) -> Iterator[None]:
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
