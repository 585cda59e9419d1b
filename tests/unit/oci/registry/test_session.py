"""Plain HTTP, basic logins, redirects and moods of registries that are not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from skerry.errors import InvalidInput, NotAuthenticated, Throttled, Unavailable, Unsupported
from skerry.oci.registry.credentials import Login
from skerry.oci.registry.session import ATTEMPTS_MAX, Registry
from skerry.service.http import HttpServer
from tests.unit.oci.registry.conftest import Impatient

Answer = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def registry(answer: Answer, login: Login | None = None) -> AsyncIterator[Registry]:
    """A session with a plain registry on this machine that answers everything with ``answer``."""
    methods = ["GET", "POST", "HEAD"]
    server = await HttpServer.start(Starlette(routes=[Route("/{path:path}", answer, methods=methods)]))
    host = f"localhost:{server.port}"
    async with Registry(host, clock=Impatient(), jitter=lambda: 0.5, login=login) as session:
        yield session
    await server.close(0.1)


async def test_this_machine_may_speak_plain_http() -> None:
    async def answer(request: Request) -> Response:
        return JSONResponse({"authorization": request.headers.get("authorization")})

    async with registry(answer, login=Login("u", "p")) as session:
        # Nothing is sent before it is asked for.
        assert (await session.ask("GET", "a/tags/list", "s")).json() == {"authorization": None}


async def test_another_machine_may_not() -> None:
    async def answer(request: Request) -> Response:
        return Response(status_code=200)

    async with registry(answer) as near:
        far = Registry("registry.example", clock=Impatient(), jitter=lambda: 0.5, address=near.host)
        async with far:
            with pytest.raises(Unsupported, match="TLS"):
                await far.ask("GET", "a/tags/list", "s")


async def test_a_basic_login_is_sent_where_it_is_wanted_and_nowhere_else() -> None:
    seen: list[tuple[str, str | None]] = []

    async def elsewhere(request: Request) -> Response:
        seen.append(("elsewhere", request.headers.get("authorization")))
        return Response(b"blob")

    server = await HttpServer.start(Starlette(routes=[Route("/{path:path}", elsewhere)]))

    async def answer(request: Request) -> Response:
        seen.append((request.url.path, request.headers.get("authorization")))
        if "authorization" not in request.headers:
            return Response(status_code=401, headers={"www-authenticate": 'Basic realm="x"'})
        return RedirectResponse(f"http://127.0.0.1:{server.port}/store")

    async with registry(answer, login=Login("u", "p")) as session:
        assert (await session.ask("GET", "a/blobs/x", "s")).content == b"blob"
        assert (await session.ask("GET", f"http://127.0.0.1:{server.port}/x", "s")).content == b"blob"
    await server.close(0.1)
    assert seen == [
        ("/v2/a/blobs/x", None),
        ("/v2/a/blobs/x", "Basic dTpw"),
        ("elsewhere", None),
        ("elsewhere", None),
    ]


async def test_a_refresh_token_is_exchanged() -> None:
    async def answer(request: Request) -> Response:
        if request.url.path == "/token":
            form = dict(pair.split("=") for pair in (await request.body()).decode().split("&"))
            assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "refresh")
            return JSONResponse({"access_token": "short"})
        if request.headers.get("authorization") == "Bearer short":
            return Response(b"in")
        realm = f"{request.url.scheme}://{request.url.netloc}/token"
        return Response(status_code=401, headers={"www-authenticate": f'Bearer realm="{realm}"'})

    async with registry(answer, login=Login("", "", "refresh")) as session:
        assert (await session.ask("GET", "a", "s")).content == b"in"


@pytest.mark.parametrize("challenge", ['Bearer realm="ftp://x/token"', "Negotiate", "", 'Basic realm="x"'])
async def test_what_a_registry_may_not_ask_for_is_not_given(challenge: str) -> None:
    async def answer(request: Request) -> Response:
        return Response(status_code=401, headers={"www-authenticate": challenge} if challenge else {})

    async with registry(answer) as session:
        with pytest.raises(NotAuthenticated):
            await session.ask("GET", "a", "s")


async def test_what_may_pass_is_tried_again_and_the_rest_is_not() -> None:
    calls: list[str] = []

    async def answer(request: Request) -> Response:
        calls.append(request.url.path)
        kind = request.url.path.rpartition("/")[2]
        if kind == "better" and calls.count(request.url.path) == 3:
            return Response(b"at last")
        body = {"errors": [{"code": "NO", "message": "not today"}]}
        status = {"wrong": 418, "busy": 429}.get(kind, 503)
        return JSONResponse(body, status_code=status, headers={"retry-after": "0"})

    async with registry(answer) as session:

        async def ask(kind: str) -> bytes:
            return (await session.retried(kind, lambda: session.ask("GET", kind, "s"))).content

        assert await ask("better") == b"at last"
        for kind, error, times in (
            ("wrong", InvalidInput, 1),
            ("busy", Throttled, ATTEMPTS_MAX),
            ("down", Unavailable, ATTEMPTS_MAX),
        ):
            with pytest.raises(error, match="NO not today"):
                await ask(kind)
            assert calls.count(f"/v2/{kind}") == times


async def test_a_registry_that_is_not_there_is_unavailable() -> None:
    async with Registry("localhost:1", clock=Impatient(), jitter=lambda: 0.5) as session:
        with pytest.raises(Unavailable, match="localhost:1"):
            await session.ask("GET", "a", "s")
