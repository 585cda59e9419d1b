"""Modules on ``azure-iot-device`` while the edge runtime restarts again and again: nothing is lost.

``SKERRY_RESTARTS`` is how often; a hundred take about five minutes:
``SKERRY_RESTARTS=100 python -m tests.support.namespace python -m pytest tests/system/sdk/check_restarts.py``.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from azure.iot.device import exceptions

from tests.support.stack import Edge, Hub, eventually
from tests.system.sdk.check_module import module
from tests.system.sdk.clients import SDK_MARKS, answer_methods, message

RESTARTS = int(os.environ.get("SKERRY_RESTARTS", "2"))
pytestmark = [*SDK_MARKS, pytest.mark.timeout(60 + 10 * RESTARTS)]
PAUSE_S = 0.01


class Sender:
    """Sends numbered messages to both outputs until it is told to stop; remembers what was acknowledged."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[bytes] = []

    def goes_on(self) -> None:
        """Return once something more was acknowledged."""
        before = len(self.acknowledged)
        eventually(lambda: len(self.acknowledged) > before)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._done.is_set():
            body = b"%d" % number
            try:
                for output in ("up", "across"):
                    self._client.send_message_to_output(message(body), output)
            except exceptions.ClientError:
                # No acknowledgement: the same once more.
                self._done.wait(PAUSE_S)
                continue
            self.acknowledged.append(body)
            number += 1
            self._done.wait(PAUSE_S)


def test_clients_resume_and_nothing_acknowledged_is_lost(hub: Hub, edge: Edge) -> None:
    with module(edge, "sender") as sending, module(edge, "receiver") as receiver:
        got: list[Any] = []
        receiver.on_message_received = got.append
        answer_methods(receiver)
        with Sender(sending) as sender:
            for _ in range(RESTARTS):
                sender.goes_on()
                edge.stop()
                edge.start()
            sender.goes_on()
        sent = sender.acknowledged
        # It never subscribed again.
        eventually(lambda: {one.data for one in got} >= set(sent))
        assert hub.invoke("edge-1", "blink", 1, "receiver").status == 207
        assert list(dict.fromkeys(one.data for one in got))[: len(sent)] == sent
        eventually(lambda: account(hub)["received"] >= len(sent))
        found = account(hub)
    assert (found["lost"], found["altered"], found["sent"]) == (0, 0, found["received"])


def account(hub: Hub) -> dict[str, Any]:
    accounts = hub.call(lambda service: service.ledger("edge-1"))
    return next(a for a in accounts if a.get("moduleId") == "sender")
