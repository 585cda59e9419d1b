"""The architecture as a table: what each part may import, and which modules touch no I/O.

Read ALLOWED as the diagram. A part may always import itself; a prefix allows everything below it.
"""

import ast
import pathlib
from collections.abc import Iterator

import pytest

PACKAGE = "skerry"
ROOT = pathlib.Path(__file__).parents[2] / "src" / PACKAGE
BASE = "errors clock"
ALLOWED = {
    "errors": "",
    "clock": "",
    "contract": BASE,
    "mqtt": BASE,
    "amqp": BASE,
    "oci": BASE,
    "store": BASE,
    "service": BASE,
    "protocol": f"{BASE} contract mqtt",
    "package": BASE,
    "serve": f"{BASE} contract mqtt protocol service package",
    "model": f"{BASE} contract oci service package",
    "hub": f"{BASE} contract amqp mqtt oci protocol store service",
    "edge.engine": f"{BASE} contract oci service",
    "edge.daemon": f"{BASE} contract protocol store service edge.settings edge.engine",
    "edge.agent": f"{BASE} contract store service edge.settings edge.engine.port",
    "edge.hub": f"{BASE} contract mqtt protocol store service edge.settings",
    # edge.main wires the three of them.
    "edge": f"{BASE} contract mqtt protocol store service oci edge",
    "sim": f"{BASE} contract mqtt protocol oci service",
    "cli": f"{BASE} contract oci store service protocol package model serve hub edge sim",
    "__main__": "cli",
}
PURE = [
    "contract",
    "mqtt.packets",
    "mqtt.codec",
    "mqtt.filters",
    "mqtt.session",
    "amqp.types",
    "amqp.codec",
    "amqp.composite",
    "amqp.performatives",
    "amqp.frames",
    "amqp.message",
    "amqp.events",
    "amqp.link",
    "amqp.session",
    "amqp.connection",
    "oci.digest",
    "oci.layer",
    "oci.image",
    "oci.reference",
    "oci.validate",
    "edge.agent.state",
    "edge.agent.plan",
    "edge.agent.restart",
    "edge.hub.router",
    "package.recipe",
    "package.preprocess",
    "package.postprocess",
    "serve.protocol",
    "serve.batching",
]
IO = [
    "asyncio",
    "http.client",
    "http.server",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uuid",
]
OWNERS = {"print": "cli.output", "datetime.now": "clock", "time.time": "clock", "time.monotonic": "clock"}


def under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def part(name: str) -> str:
    return max((p for p in ALLOWED if under(name, p)), key=len, default="")


def imports(path: pathlib.Path, name: str) -> Iterator[str]:
    package = [PACKAGE, *name.split(".")]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = ".".join(package[: len(package) - node.level]) if node.level else ""
            stem = ".".join(filter(None, [stem, node.module]))
            yield from (f"{stem}.{alias.name}" for alias in node.names)


MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts): p
    for p in ROOT.rglob("*.py")
    if p.name != "__init__.py"
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module_imports_only_what_its_part_may_know(name: str) -> None:
    mine = part(name)
    for target in imports(MODULES[name], name):
        inner = target.removeprefix(PACKAGE + ".")
        if inner != target and part(inner) != mine and inner != "__version__":
            assert any(under(inner, a) for a in ALLOWED[mine].split()), f"{name} may not import {inner}"


@pytest.mark.parametrize("name", sorted(n for n in MODULES if any(under(n, p) for p in PURE)))
def test_pure_module_does_no_io(name: str) -> None:
    for target in imports(MODULES[name], name):
        assert not any(under(target, io) for io in IO), f"{name} is pure and may not import {target}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_owned_calls_stay_with_their_owner(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Call):
            call = ".".join(ast.unparse(node.func).split(".")[-2:])
            assert OWNERS.get(call, name) == name, (
                f"{name}:{node.lineno} calls {call}; that is {OWNERS[call]}'s job"
            )


def test_every_module_belongs_to_a_part() -> None:
    assert [name for name in MODULES if not part(name)] == []
