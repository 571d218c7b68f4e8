"""`hanse scale`: more or fewer processes of a service."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from hanse.cli.locate import add_system_option, running
from hanse.cli.output import say_json
from hanse.system.control import ask

EXAMPLES = """\
  hanse scale orders=3
  hanse scale orders=3 cart=2 --system systems/shop"""


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("counts", nargs="+", type=_count, metavar="SERVICE=N", help="how many shall run, 0 to 64")
    add_system_option(parser)


def run(arguments: Namespace) -> int:
    socket = running(arguments.system).socket
    for name, count in arguments.counts:
        status = next(ask(socket, "scale", service=name, count=count, timeout_s=90))
        service = next(one for one in status["services"] if one["service"] == name)
        if arguments.json:
            say_json(service)
        else:
            print(f"{name} has {len(service['replicas'])} replicas, {service['state']}")
    return 0


def _count(text: str) -> tuple[str, int]:
    name, equals, count = text.partition("=")
    if not (name and equals and count.isdigit()):
        raise ArgumentTypeError(f'"{text}" is not of the form SERVICE=N')
    return name, int(count)
