"""Word of changes from the verbs that make them to those that react, inside one hub process."""

from __future__ import annotations

from collections.abc import Callable

from skerry.contract.names import Identity

# An identity that was created, changed or deleted, and the member of its twin document that changed: a path
# such as "properties.reported", or "" for anything.
Listener = Callable[[Identity, str], None]
REPORTED, CONNECTION_STATE = "properties.reported", "connectionState"


class Changes:
    """Listeners are called after a change is durable, in the event loop; they only take note."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Hear of every change from now on."""
        self._listeners.append(listener)

    def tell(self, identity: Identity, what: str = "") -> None:
        """A change happened."""
        for listener in self._listeners:
            listener(identity, what)
