"""A topology: what it takes, what it refuses, and how it says so."""

from pathlib import Path

import pytest

from hanse.core.errors import ConfigurationError
from hanse.system import System, load

HEAD = 'from hanse import System\n\nsystem = System("store")\n'
APP = 'from hanse import Service\n\nservice = Service("{name}")\n'


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "systems" / "store"
    for name in ("orders", "users"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
        (folder / name / "app.py").write_text(APP.format(name=name))
    (folder / "__init__.py").touch()
    return folder


def problems(folder: Path, body: str) -> list[str]:
    (folder / "system.py").write_text(HEAD + body)
    return [line.replace(f"{folder}/", "") for line in load(folder).validate()]


def test_names_come_from_the_package_above_the_module(store: Path) -> None:
    (store / "system.py").write_text(HEAD + 'orders = system.service("store.orders.app:service", replicas=2)\n')
    system = load(store)
    assert system.validate() == []
    assert [(ref.name, ref.module, ref.attribute, ref.replicas) for ref in system.services] == [
        ("orders", "store.orders.app", "service", 2)
    ]
    assert (system.root, system.folder, system.state) == (store.parent, store, store / ".hanse")


def test_the_attribute_defaults_to_service() -> None:
    assert System("store").service("store.orders.app").app == "store.orders.app:service"


def test_a_single_file_becomes_a_system_with_every_path_routed_to_it(tmp_path: Path) -> None:
    file = tmp_path / "greeter.py"
    file.write_text('from hanse import Service\n\nhello = Service("greeter", version="1.0.0")\n')
    system = load(file)
    assert system.validate() == []
    assert (system.name, system.services[0].app, system.root) == ("greeter", "greeter:hello", tmp_path)
    assert system.door is not None
    assert [(route.path, route.service) for route in system.door.routes] == [("/", "greeter")]


ROUTED = 'system.service("store.orders.app")\ngateway = system.gateway()\n'


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("", 'system.py:3: system "store" has no service; add: system.service("package.module:service")'),
        (
            ROUTED + 'gateway.route("/api/orders", "oders")\n',
            'system.py:6: route "/api/orders" goes to service "oders", which does not exist. Did you mean "orders"?',
        ),
        (
            'system.service("store.orders.app")\nsystem.service("store.orders.app")\n',
            'system.py:5: service "orders" is already declared at system.py:4',
        ),
        (
            'system.service("store.orders.app", port=9001)\nsystem.service("store.users.app", port=9001)\n',
            'system.py:5: service "users": port 9001 is already that of service "orders", declared at system.py:4',
        ),
        (
            'system.service("store.orders.app", port=8080)\ng = system.gateway()\ng.route("/", "orders")\n',
            'system.py:5: gateway: port 8080 is already that of service "orders", declared at system.py:4',
        ),
        ('system.service("store.billing.app")\n', "there is no module store.billing.app under "),
        (
            'system.service("store.orders.app:servise")\n',
            'system.py:4: service "orders": orders/app.py defines no "servise". Did you mean "service"?',
        ),
        ('system.service("store.orders.app", replicas=0)\n', "replicas=0; 1 to 64 can run"),
        ('system.service("store.orders.app", port=70000)\n', "port 70000 is not a port"),
        ('system.service("store.orders.app", fixed=True)\n', "fixed=True needs a port"),
        ('system.service("store.orders.app", "Orders!")\n', "use lower-case letters, digits and dashes"),
        ('system.service("store/orders")\n', 'is not of the form "package.module:attribute"'),
        (ROUTED, "system.py:5: gateway: no routes; add:"),
        (ROUTED + 'gateway.route("/a", "orders", limit="many")\n', 'limit "many" is not understood'),
        (ROUTED + 'gateway.route("a", "orders")\n', "a path starts with"),
        (ROUTED + 'gateway.route("/a", "orders", strip="/b")\n', "is not the beginning of the path"),
        (ROUTED + 'gateway.route("/a", "orders", methods=["FETCH"])\n', "'FETCH' is unknown"),
        (ROUTED + 'gateway.route("/a", "orders", timeout=0)\n', "timeout 0 is not between"),
        (ROUTED + 'gateway.route("/a", "orders", auth=True)\n', "needs a user, but the gateway has no issuer"),
        (
            ROUTED + 'gateway.route("/a", "orders")\ngateway.route("/a", "orders", methods=["GET"])\n',
            'system.py:7: route "/a" is already routed at system.py:6',
        ),
        (
            'system.service("store.orders.app")\ng = system.gateway(jwt=system.issuer("user"))\n'
            'g.route("/", "orders")\n',
            'system.py:5: gateway: the issuer is service "user", which does not exist.',
        ),
        (ROUTED + 'gateway.route("/", "orders")\nsystem.gateway()\n', "system.py:7: a second gateway"),
    ],
)
def test_each_mistake_gets_one_line_with_its_place(store: Path, body: str, line: str) -> None:
    found = problems(store, body)
    assert [line in text for text in found].count(True) == 1, found
    assert all("\n" not in text for text in found)


def test_two_methods_of_one_path_may_go_to_two_services(store: Path) -> None:
    body = 'system.service("store.orders.app")\nsystem.service("store.users.app")\ngateway = system.gateway()\n'
    body += 'gateway.route("/a", "orders", methods=["GET"])\ngateway.route("/a", "users", methods=["POST"])\n'
    assert problems(store, body) == []


def test_validation_runs_no_application_code(store: Path) -> None:
    (store / "orders" / "app.py").write_text("raise RuntimeError('imported')\nservice = None\n")
    assert problems(store, 'system.service("store.orders.app")\n') == []


def test_an_application_that_is_not_python_is_left_to_its_own_process(store: Path) -> None:
    (store / "orders" / "app.py").write_text("def (:\n")
    assert problems(store, 'system.service("store.orders.app")\n') == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("from hanse import System\nsystem = System(nam)\n", "system.py:2: NameError: name 'nam' is not defined"),
        ("from hanse import System\nsystem = = 1\n", "system.py:2: invalid syntax"),
        ("x = 1\n", 'system.py: no System in it; write: system = System("name")'),
        ('from hanse import System\na = System("a")\nb = System("b")\n', "system.py: more than one System in it"),
    ],
)
def test_a_topology_that_does_not_run_says_where(store: Path, text: str, line: str) -> None:
    (store / "system.py").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(store)
    assert line in caught.value.message
    assert "\n" not in caught.value.message


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no system\.py here"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        load(tmp_path / "shop")


def test_one_file_holds_one_service(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text('from hanse import Service\na = Service("a")\nb = Service("b")\n')
    with pytest.raises(ConfigurationError, match=r"two\.py:3: a second Service"):
        load(tmp_path / "two.py")


def test_a_service_has_one_name(store: Path) -> None:
    assert problems(store, 'system.service("store.orders.app", "purchases")\n') == [
        'system.py:4: service "purchases" calls itself "orders" at orders/app.py:3; use one name for both'
    ]
