"""`hanse logs`: what the services have logged, and with `-f` what they log from now on."""

import sys
from argparse import ArgumentParser, Namespace

from hanse.cli.locate import add_system_option, running, state_of
from hanse.cli.output import colourful
from hanse.core.errors import Unavailable
from hanse.system.control import ask
from hanse.system.logs import tail
from hanse.system.record import Record
from hanse.system.state import StateFolder

EXAMPLES = """\
  hanse logs                    the last 100 lines of all services
  hanse logs orders -f          follow one of them
  hanse logs -n 1000 --json | grep payment"""

_ENGINES = ("gateway", "nats")


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these; also: hanse, gateway, nats")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes; Ctrl-C ends it")
    parser.add_argument("-n", "--lines", type=int, default=100, help="how many of the last lines (default 100)")
    add_system_option(parser)


def run(arguments: Namespace) -> int:
    state = running(arguments.system) if arguments.follow or not arguments.system else state_of(arguments.system)
    names = arguments.services or _services(state)
    unknown = [name for name in arguments.services if not (state.logs / f"{name}.log").exists()]
    if unknown:
        raise Unavailable(f"no logs of {', '.join(unknown)}; there are: {', '.join([*_services(state), *_ENGINES])}")
    width = max(map(len, names), default=0)
    text = sys.stdout.isatty() and not arguments.json
    for record in tail(state.logs, names, arguments.lines) if arguments.lines else []:
        _show(record, width, text)
    if arguments.follow:
        for reply in ask(state.socket, "logs", services=arguments.services, timeout_s=None):
            _show(Record(reply["service"], reply["line"].encode(), reply["at"]), width, text)
    return 0


def _show(record: Record, width: int, text: bool) -> None:
    line = record.as_text(width, colour=colourful(sys.stdout)) if text else record.as_json().decode(errors="replace")
    print(line, flush=True)


def _services(state: StateFolder) -> list[str]:
    return sorted(file.stem for file in state.logs.glob("*.log") if file.stem not in _ENGINES)
