"""The entry point `hanse`: finds the verb, imports its file, runs it."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from importlib import import_module

from hanse import __version__

DONE, FAILED, WRONG_USE = 0, 1, 2

VERBS = {
    "up": "start a system, or a single service, and keep it running",
    "down": "stop a running system",
    "ps": "show the services of a running system",
    "logs": "show what the services have logged",
    "restart": "replace the processes of a service, without refusing a request",
    "scale": "change how many processes of a service run",
    "check": "say what is wrong with a topology; starts nothing",
    "client": "write a typed client of a service",
}
"""Each is a module of this package with `describe(parser)` and `run(arguments) -> exit code`."""

_EXAMPLES = """\
examples:
  hanse up systems/shop          start the shop; Ctrl-C stops it
  hanse up greeter.py            a single file is a system, too
  hanse ps                       what runs
  hanse VERB --help              more about one of them"""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments without the program's name; None takes those of the process.

    Returns:
        0 done, 1 failed, 2 wrong use. Never raises, except SystemExit from wrong use.
    """
    argv = sys.argv[1:] if argv is None else argv
    verb = next((word for word in argv if not word.startswith("-")), "")
    arguments = parser(verb if verb in VERBS else "").parse_args(argv)
    if not arguments.verb:
        parser("").print_help()
        return WRONG_USE
    return _run(arguments)


def parser(chosen: str) -> ArgumentParser:
    """The parser of all verbs, with the arguments of the chosen one only: the others are not even imported."""
    whole = ArgumentParser(
        prog="hanse",
        description="A microservices platform for Python.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"hanse {__version__}")
    verbs = whole.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, summary in VERBS.items():
        if name != chosen:
            verbs.add_parser(name, help=summary, add_help=False)
            continue
        module = import_module(f"hanse.cli.{name}")
        one = verbs.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        one.add_argument("--json", action="store_true", help="answer in JSON, for programs")
        module.describe(one)
    return whole


def _run(arguments: Namespace) -> int:
    from hanse.cli.output import complain
    from hanse.core.errors import ConfigurationError, HanseError

    try:
        code: int = import_module(f"hanse.cli.{arguments.verb}").run(arguments)
    except ConfigurationError as error:
        complain(error.message, arguments.json)
        return FAILED if error.code == "port_taken" else WRONG_USE
    except HanseError as error:
        complain(error.message, arguments.json)
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone (`hanse logs | head`): nobody to complain to
        return DONE
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
