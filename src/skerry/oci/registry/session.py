"""One registry over HTTPS: logs in as it asks, tries again what may pass, fails in our kinds."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from skerry.clock import Clock
from skerry.errors import NotAuthenticated, Throttled, Unavailable
from skerry.oci.registry.answers import Refused, error_of, plain_instead_of_tls, unreachable
from skerry.oci.registry.challenge import Basic, Bearer, parse_challenge
from skerry.oci.registry.credentials import Login
from skerry.oci.registry.place import is_loopback

log = logging.getLogger(__name__)

T = TypeVar("T")
# Makes the body of a request, anew for each time it is sent.
Body = Callable[[], AsyncIterator[bytes]]

# Between two packets; a slow line may take longer for the whole.
SILENCE_S = 60.0
CONNECT_S = 15.0
ATTEMPTS_MAX = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
CLIENT = "skerry"


class Registry:
    """A session with the registry at ``host``; an async context.

    ``tls`` says whom to trust (the machine's roots by default). Plain HTTP is spoken only with this machine,
    or where ``insecure`` allows it, which also takes any certificate. ``address`` is where the host is
    reached, if not by its name. ``jitter`` gives numbers from 0 to 1: many devices must not try in step.
    """

    def __init__(
        self,
        host: str,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        login: Login | None = None,
        tls: ssl.SSLContext | None = None,
        insecure: bool = False,
        address: str = "",
    ) -> None:
        self.host = host
        self._clock = clock
        self._jitter = jitter
        self._login = login
        self._plain_allowed = insecure or is_loopback(host)
        self._address = address or host
        self._base = ""
        self._tokens: dict[str, str] = {}
        self._logging_in = asyncio.Lock()
        self._http = httpx.AsyncClient(
            verify=_context(tls, insecure),
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            headers={"User-Agent": CLIENT},
            trust_env=not is_loopback(self._address),
        )

    async def __aenter__(self) -> Registry:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        scope: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
        allowed: tuple[int, ...] = (),
    ) -> httpx.Response:
        """An answer read whole: a good one, or one of the statuses in ``allowed``; our error otherwise.

        ``path`` is below ``/v2/``, or an address that the registry gave.
        """
        async with self.stream(
            method, path, scope, headers=headers, params=params, body=body, allowed=allowed
        ) as answer:
            await answer.aread()
            return answer

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        scope: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
        allowed: tuple[int, ...] = (),
    ) -> AsyncIterator[httpx.Response]:
        """As ``ask``, with the body still to be read."""
        url = await self._url(path)
        asked_again = False
        while True:
            sent = {**self._authorization(url, scope), **(headers or {})}
            request = self._request(method, url, sent, params, body)
            try:
                answer = await self._http.send(
                    request, stream=True, follow_redirects=method in ("GET", "HEAD")
                )
            except httpx.HTTPError as exc:
                raise unreachable(self.host, exc) from exc
            try:
                if answer.status_code == 401 and not asked_again:
                    asked_again = True
                    await self._log_in(answer, scope, sent.get("Authorization", ""))
                    continue
                if not answer.is_success and answer.status_code not in allowed:
                    await _read_quietly(answer)
                    raise error_of(answer, self.host, known=self._login is not None)
                try:
                    yield answer
                except httpx.HTTPError as exc:
                    raise unreachable(self.host, exc) from exc
                return
            finally:
                await answer.aclose()

    async def retried(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` returns, tried again with growing pauses while the registry is away."""
        wait_s = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await work()
            except (Unavailable, Throttled) as error:
                if attempt == ATTEMPTS_MAX:
                    raise
                asked = error.fields.get("retry_after_s")
                pause = max(float(str(asked or 0)), wait_s * (0.5 + self._jitter()))
                log.info("%s: %s; again in %.1f s", what, error.what, pause)
                await self._clock.sleep(pause)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        raise AssertionError("unreachable")

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        body: Body | None,
    ) -> httpx.Request:
        target = httpx.URL(url)
        if params:
            target = target.copy_merge_params(dict(params))
        extensions = {}
        if self._is_own(url) and self._address != self.host:
            # Reached by another address, the certificate and the answers are still those of the name.
            headers = {"Host": self.host, **headers}
            extensions = {"sni_hostname": self.host.partition(":")[0]}
        content = b"" if method in ("POST", "PUT", "PATCH") else None
        return self._http.build_request(
            method,
            target,
            headers=dict(headers),
            content=content if body is None else body(),
            extensions=extensions,
        )

    async def _url(self, path: str) -> str:
        base = await self._scheme_and_host()
        if path.startswith(("http://", "https://")):
            if not self._is_own(path):
                return path
            # A registry behind a proxy may name itself otherwise than we reach it.
            parts = urlsplit(path)
            return base + parts.path + (f"?{parts.query}" if parts.query else "")
        return base + path if path.startswith("/") else f"{base}/v2/{path}"

    async def _scheme_and_host(self) -> str:
        """HTTPS; where plain HTTP is allowed, what the registry speaks."""
        if not self._base and self._plain_allowed:
            try:
                await self._http.get(f"https://{self._address}/v2/", headers={"Host": self.host})
            except httpx.HTTPError as exc:
                if not plain_instead_of_tls(exc):
                    raise unreachable(self.host, exc) from exc
                log.debug("%s speaks plain HTTP", self.host)
                self._base = f"http://{self._address}"
        self._base = self._base or f"https://{self._address}"
        return self._base

    def _is_own(self, url: str) -> bool:
        return urlsplit(url).netloc in (self._address, self.host)

    def _authorization(self, url: str, scope: str) -> dict[str, str]:
        """Only for the registry itself: it may send us elsewhere, and that is nobody's to know."""
        known = self._tokens.get(scope) or self._tokens.get("")
        return {"Authorization": known} if known and self._is_own(url) else {}

    async def _log_in(self, answer: httpx.Response, scope: str, refused: str) -> None:
        async with self._logging_in:
            # Of several requests that are refused at once, the first logs in for all.
            if self._authorization(str(answer.request.url), scope).get("Authorization", "") == refused:
                await self._log_in_once(answer, scope)

    async def _log_in_once(self, answer: httpx.Response, scope: str) -> None:
        challenge = parse_challenge(answer.headers.get("www-authenticate", ""))
        match challenge:
            case Basic() if self._login is not None and self._login.password:
                self._tokens[""] = _basic(self._login)
            case Bearer():
                self._tokens[scope] = "Bearer " + await self._token(challenge, scope)
            case _:
                raise Refused(self.host, known=self._login is not None)

    async def _token(self, challenge: Bearer, scope: str) -> str:
        realm = urlsplit(challenge.realm)
        if realm.scheme != "https" and not (realm.scheme == "http" and self._base.startswith("http://")):
            raise NotAuthenticated(
                f"{self.host} wants the password sent to {realm.scheme}://{realm.netloc}", hint="not done"
            )
        url = challenge.realm
        if realm.netloc == self.host and self._address != self.host:
            url = url.replace(realm.netloc, self._address, 1)
        wanted = {"service": challenge.service, "scope": scope or challenge.scope}
        wanted = {name: value for name, value in wanted.items() if value}
        login = self._login
        try:
            if login is not None and login.identity_token:
                form = {"grant_type": "refresh_token", "refresh_token": login.identity_token}
                request = self._http.build_request("POST", url, data={**form, "client_id": CLIENT, **wanted})
            else:
                headers = {"Authorization": _basic(login)} if login is not None else {}
                target = httpx.URL(url).copy_merge_params(wanted)
                request = self._request("GET", str(target), headers, None, None)
            answer = await self._http.send(request)
        except httpx.HTTPError as exc:
            raise unreachable(realm.netloc, exc) from exc
        if answer.is_error:
            raise error_of(answer, self.host, known=login is not None)
        try:
            found = answer.json()
            return str(found.get("token") or found["access_token"])
        except (ValueError, KeyError, AttributeError) as exc:
            raise NotAuthenticated(f"{realm.netloc} answers with no token", registry=self.host) from exc


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _context(tls: ssl.SSLContext | None, insecure: bool) -> ssl.SSLContext:
    if tls is not None and not insecure:
        return tls
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _read_quietly(answer: httpx.Response) -> None:
    """The body of an error, if it comes: what it says is worth less than the status."""
    try:
        await answer.aread()
    except httpx.HTTPError as exc:
        log.debug("the answer broke off: %s", exc)
