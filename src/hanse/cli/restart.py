"""`hanse restart`: new processes for a service."""

from argparse import ArgumentParser, Namespace

from hanse.cli.locate import add_system_option, running
from hanse.cli.output import complain, say_json
from hanse.system.control import ask

EXAMPLES = """\
  hanse restart orders
  hanse restart orders --system systems/shop"""


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("service", help="its name, as hanse ps shows it")
    add_system_option(parser)


def run(arguments: Namespace) -> int:
    status = next(ask(running(arguments.system).socket, "restart", service=arguments.service, timeout_s=90))
    service = next(one for one in status["services"] if one["service"] == arguments.service)
    ready = service["state"] in {"ready", "stopped"}
    if arguments.json:
        say_json(service)
    elif ready:
        print(f"{service['service']} is {service['state']} after {service['start_s'] or 0:.2f} s")
    else:
        complain(f"{service['service']} is {service['state']}: {service['reason']}", False)
    return 0 if ready else 1
