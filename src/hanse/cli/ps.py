"""`hanse ps`: what runs."""

import sys
from argparse import ArgumentParser, Namespace

from hanse.cli.locate import running
from hanse.cli.output import colourful, headline, say_json, status_table
from hanse.system.control import ask

EXAMPLES = """\
  hanse ps                        the system that runs here
  hanse ps systems/shop --json    for programs"""


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", help="the system's folder or file; default: the one that runs here")


def run(arguments: Namespace) -> int:
    status = next(ask(running(arguments.path).socket, "ps"))
    if arguments.json:
        say_json(status)
        return 0
    colour = colourful(sys.stdout)
    print(headline(status, colour=colour))
    print(status_table(status, colour=colour))
    return 0
