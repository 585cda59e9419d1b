"""The edge hub's server certificate: issued by the device's own CA, renewed while the hub runs."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from skerry.clock import Clock, ManualClock
from skerry.errors import Unsupported
from skerry.service.certificates import Authority, Issued
from skerry.service.client_certificates import ask_for_certificates
from skerry.service.tls import load_certificate, server_context

log = logging.getLogger(__name__)

DAY_S = 86_400.0
VALID_S = 90 * DAY_S
# Looked at this often, so that a stepped clock is noticed within a minute (field.md pain 7).
CHECK_EVERY_S = 30.0
# Names every edge hub has, whatever the device is called (contract.md §6.10).
ALWAYS = ("localhost", "edgehub", "edgeHub")


class ServerCertificate:
    """One TLS context for all listeners; new connections get the newest certificate, old ones stay.

    It begins when the device's authority does, so that a client whose clock is behind takes it too. ``time``
    is the hub's, where it is known; else this device's clock counts. A clock outside the authority's own life
    is wrong for sure: until it is set, the certificate lasts as long as the authority, and no client is shut
    out.
    """

    def __init__(
        self,
        authority: Authority,
        names: Sequence[str],
        clock: Clock,
        *,
        valid_s: float = VALID_S,
        time: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._authority = authority
        self._clock = clock
        self._valid_s = valid_s
        self._time = time
        self._begins = authority.certificate.not_valid_before_utc
        self._ends = authority.certificate.not_valid_after_utc
        self._dns = [*dict.fromkeys([*(n for n in names if n and not _is_address(n)), *ALWAYS])]
        self._ips = [*dict.fromkeys([*(n for n in names if n and _is_address(n)), "127.0.0.1", "::1"])]
        self._issued, self._issued_at = self._issue()
        self.renewals = 0
        self.context: ssl.SSLContext = server_context(self._issued.cert_chain_pem, self._issued.key_pem)
        try:
            ask_for_certificates(self.context)
        except Unsupported as error:
            log.warning("leaf devices with X.509 certificates cannot connect: %s", error)

    async def run(self) -> None:
        """Renew at two thirds of the life, or when it shows that it was made at a wrong time."""
        while True:
            await self._clock.sleep(min(CHECK_EVERY_S, self._valid_s / 10))
            age = (self._now() - self._issued_at).total_seconds()
            if not 0 <= age < self._valid_s * 2 / 3:
                self._issued, self._issued_at = self._issue()
                load_certificate(self.context, self._issued.cert_chain_pem, self._issued.key_pem)
                self.renewals += 1
                log.info("the edge hub's certificate is renewed, until %s", self._issued.not_after)

    def _now(self) -> datetime:
        return self._time() or self._clock.now()

    def _issue(self) -> tuple[Issued, datetime]:
        now = self._now()
        at, valid_s = now, self._valid_s
        if not self._begins <= now <= self._ends:
            log.warning("this device's clock is wrong: it is %s here", now)
            at, valid_s = self._begins, (self._ends - self._begins).total_seconds()
        issuer = replace(self._authority, clock=ManualClock(at))
        name = next(iter(self._dns))
        issued = issuer.issue_server(name, self._dns, self._ips, valid_s, not_before=self._begins)
        return issued, now


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
