"""What systemd is told about this process (sd_notify(3)); nothing when it did not start it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from skerry.clock import Clock

log = logging.getLogger(__name__)


class Notifier:
    """The socket named by ``NOTIFY_SOCKET``; every call is a no-op without it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_us = _watchdog_us(environ)

    @property
    def watchdog_s(self) -> float | None:
        """Seconds within which systemd wants a sign of life, or None."""
        return self._watchdog_us / 1e6 if self._watchdog_us else None

    def ready(self) -> None:
        """The process serves."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The process is ending."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={text.splitlines()[0] if text else ''}")

    def alive(self) -> None:
        """One sign of life."""
        self._send("WATCHDOG=1")

    async def watchdog(self, clock: Clock) -> None:
        """Signs of life at half the interval, for ever; returns at once when none are wanted.

        It runs in the event loop on purpose: a loop that hangs is what systemd should restart.
        """
        if self.watchdog_s is None:
            return
        while True:
            self.alive()
            await clock.sleep(self.watchdog_s / 2)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is in Linux's abstract name space.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(address)
                sender.sendall(state.encode())
        except OSError as error:
            log.warning("telling systemd %s: %s", state, error)


def _watchdog_us(environ: Mapping[str, str]) -> int:
    text, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or (process and process != str(os.getpid())):
        return 0
    return int(text)
