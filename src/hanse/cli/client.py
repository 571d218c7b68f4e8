"""`hanse client generate`: a typed client module from a service's OpenAPI document."""

import json
import sys
import urllib.error
import urllib.request
from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

from hanse.cli.locate import add_system_option, running, state_of
from hanse.cli.output import say_json
from hanse.client.generation import client_source
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.system import load
from hanse.system.control import ask
from hanse.system.lock import SystemLock
from hanse.system.topology import shown

EXAMPLES = """\
  hanse client generate catalog -o catalog_client.py            of the system that runs here
  hanse client generate catalog --system systems/shop           running or not
  hanse client generate shop.catalog.app:service                by the reference of its app
  hanse client generate http://127.0.0.1:4301 --name catalog    by its address"""

_TIMEOUT_S = 5.0


def describe(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=["generate"], help="what to do")
    parser.add_argument("service", metavar="SERVICE", help="its name, package.module:service, or http://host:port")
    add_system_option(parser)
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, help="where to write (default: standard output)")
    parser.add_argument("--name", help="what the service is registered by (default: as it says itself)")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="of the client (default: CatalogClient …)")


def run(arguments: Namespace) -> int:
    document = _document(arguments.service, arguments.system)
    plain = "" if ":" in arguments.service else arguments.service
    name = arguments.name or plain or document["info"]["title"]
    source = client_source(document, service=name, name=arguments.class_name)
    if arguments.out is None:
        if arguments.json:
            say_json({"service": name, "source": source})
        else:
            sys.stdout.write(source)
        return 0
    try:
        arguments.out.write_text(source)
    except OSError as error:
        raise ConfigurationError(f"{shown(arguments.out)}: {error.strerror}") from None
    if arguments.json:
        say_json({"service": name, "file": str(arguments.out)})
    else:
        print(f"{shown(arguments.out)}: client of {name}, {source.count('async def ')} operations")
    return 0


def _document(service: str, system: str | None) -> dict[str, Any]:
    """The OpenAPI document of a service, however it was named."""
    if service.startswith(("http://", "https://")):
        return _fetched(service.rstrip("/"))
    if ":" in service:
        return _imported(service, Path.cwd())
    if system is not None and SystemLock(state_of(system).lock).holder() is None:
        topology = load(system)
        found = topology.named(service)
        if found is None:
            names = ", ".join(sorted(ref.name for ref in topology.services))
            raise ConfigurationError(f'{shown(system)} has no service "{service}"; it has {names}')
        return _imported(found.app, topology.root)
    status = next(ask(running(system).socket, "ps"))
    known = {each["service"]: each for each in status["services"]}
    if service not in known:
        raise ConfigurationError(f'{status["system"]} has no service "{service}"; it has {", ".join(sorted(known))}')
    if not known[service]["replicas"]:
        raise Unavailable(f'no process of "{service}" runs')
    return _fetched(f"http://{known[service]['replicas'][0]['address'].removeprefix('http://')}")


def _fetched(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{address}/openapi.json", timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http only
            document: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Unavailable(f"{address}/openapi.json: {reason}") from None
    return document


def _imported(app: str, root: Path) -> dict[str, Any]:
    """The document of an app that does not run.

    Args:
        app: `package.module:attribute`.
        root: what modules are found in.
    """
    module, _, attribute = app.partition(":")
    sys.path.insert(0, str(root))
    try:
        found = getattr(import_module(module), attribute or "service", None)
    except ImportError as error:
        raise ConfigurationError(f"{module}: {error}") from error
    finally:
        sys.path.remove(str(root))
    openapi = getattr(found, "openapi", None)
    if not callable(openapi):
        raise ConfigurationError(f'{module} has no service "{attribute}"')
    document: dict[str, Any] = openapi()
    return document
