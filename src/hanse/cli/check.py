"""`hanse check`: validate a topology without starting anything."""

from argparse import ArgumentParser, Namespace

from hanse.cli.output import say_json
from hanse.core.errors import ConfigurationError
from hanse.system import System, load
from hanse.system.topology import shown

EXAMPLES = """\
  hanse check systems/shop
  hanse check greeter.py --json"""


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default=".", help="the system's folder or a service's file (default: here)")


def run(arguments: Namespace) -> int:
    system = valid(arguments.path)
    if arguments.json:
        say_json({"system": system.name, "services": [service.name for service in system.services]})
    else:
        routes = len(system.door.routes) if system.door else 0
        print(f"{shown(arguments.path)}: {len(system.services)} services, {routes} routes, nothing wrong")
    return 0


def valid(path: str) -> System:
    """The system at `path`.

    Raises:
        ConfigurationError: it can't be started; one line for each reason.
    """
    system = load(path)
    if problems := system.validate():
        raise ConfigurationError("\n".join(problems))
    return system
