"""The hub's verbs reach storage and connections through ports: where SQLite and sessions may be named."""

import ast
import pathlib

HUB = pathlib.Path(__file__).parents[2] / "src" / "skerry" / "hub"
# A copy of the files themselves, and a look at a folder before anything is opened.
SQLITE = {"backup.py", "setup.py"}
# Where stores are opened.
DATABASE = {"app.py", "setup.py", "containers/containers.py"}
# What works at the process where a connection ends, and what wires it.
CONNECTIONS = {"app.py", "connections.py", "courier.py", "gateway/backend.py", "verbs.py"}


def importers(*modules: str) -> set[str]:
    """The hub's files that import one of these."""
    found = set()
    for path in HUB.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if set(names) & set(modules):
                found.add(str(path.relative_to(HUB)))
    return found


def test_no_verb_knows_sqlite() -> None:
    assert importers("sqlite3") == SQLITE
    assert importers("skerry.store.database") <= DATABASE


def test_no_verb_knows_a_session() -> None:
    sessions = "skerry.hub.connections", "skerry.protocol.device_session"
    assert importers(*sessions) <= CONNECTIONS
