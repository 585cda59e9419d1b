"""Who may push, pull, list and delete, and how a client proves who it is."""

import re
from typing import Any

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.service.certificates import self_signed
from skerry.service.tls import client_context, load_certificate
from tests.unit.hub.certified import self_signed_by, thumbprint
from tests.unit.hub.containers.client import Client, basic, client, code, policy_login
from tests.unit.hub.running import RunningHub, key_of


async def allowed(c: Client, repository: str = "a") -> set[str]:
    answers = {
        "pull": await c.ask("GET", f"/v2/{repository}/manifests/1"),
        "push": await c.ask("POST", f"/v2/{repository}/blobs/uploads/"),
        "list": await c.ask("GET", "/v2/_catalog"),
        "delete": await c.ask("DELETE", f"/v2/{repository}/manifests/none"),
    }
    return {name for name, answer in answers.items() if answer.status_code not in (401, 403)}


@pytest.mark.parametrize(
    ("policy", "rights"),
    [
        ("iothubowner", {"pull", "push", "list", "delete"}),
        ("registryReadWrite", {"pull", "push", "list", "delete"}),
        ("registryRead", {"pull", "list"}),
        ("service", set()),
        ("device", set()),
    ],
)
async def test_a_policy_pushes_and_pulls_by_its_rights(
    hub: RunningHub, policy: str, rights: set[str]
) -> None:
    async with client(hub) as owner:
        await owner.push("a", "1", b"layer")
    for authorization in (basic(*policy_login(hub, policy)), hub.token(policy)):
        async with client(hub, authorization) as c:
            assert await allowed(c) == rights


async def test_a_device_pulls_with_its_token_or_key_and_does_nothing_else(hub: RunningHub) -> None:
    document = await hub.service.create_device("pi:1", edge=True)
    async with client(hub) as owner:
        await owner.push("a", "1", b"layer")
    token, key = hub.device_token(document), key_of(document)
    for authorization in (basic("pi:1", token), basic("pi:1", key), token):
        async with client(hub, authorization) as c:
            assert await allowed(c) == {"pull"}


async def test_a_stranger_is_told_where_to_log_in(hub: RunningHub) -> None:
    document = await hub.service.create_device("pi")
    other = await hub.service.create_device("other")
    wrong = {
        "nobody": "",
        "no login": "Basic !",
        "wrong key": basic("pi", key_of(other)),
        "another's token": basic("pi", hub.device_token(other)),
        "expired": basic("pi", hub.device_token(document, lifetime_s=-1)),
        "wrong policy key": basic("iothubowner", key_of(document)),
        "forged": "Bearer e30=.00",
        "not ASCII": "Bearer é",
    }
    for what, authorization in wrong.items():
        headers: dict[str, Any] = {} if authorization == "" else {"authorization": authorization.encode()}
        async with client(hub, "") as c:
            answer = await c.http.get("/v2/a/manifests/1", headers=headers)
            assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED"), what
            challenge = answer.headers["www-authenticate"]
            host = f"localhost:{hub.addresses.https_port}"
            assert challenge == (
                f'Bearer realm="https://{host}/v2/token",service="{host}",scope="repository:a:pull"'
            )
            assert key_of(document) not in answer.text


async def token(c: Client, *scopes: str, method: str = "GET", form: dict[str, str] | None = None) -> str:
    if method == "POST":
        answer = await c.http.post("/v2/token", data={**(form or {}), "scope": " ".join(scopes)})
    else:
        answer = await c.ask("GET", "/v2/token", params={"service": "x", "scope": list(scopes)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


async def test_a_token_holds_what_was_asked_for_and_allowed(hub: RunningHub) -> None:
    document = await hub.service.create_device("pi")
    async with client(hub) as owner:
        await owner.push("a", "1", b"layer")
        await owner.push("b", "1", b"layer")
        narrow = await token(owner, "repository:a:pull")
        wide = await token(owner, "repository:a:pull,push", "repository:b:pull,delete registry:catalog:*")
        empty = await token(owner)
    async with client(hub, basic("pi", hub.device_token(document))) as device:
        devices = await token(device, "repository:a:pull,push")
    expected = {narrow: ({"pull"}, set()), wide: ({"pull", "push", "list"}, {"pull", "list", "delete"})}
    expected |= {empty: (set(), set()), devices: ({"pull"}, set())}
    for text, (in_a, in_b) in expected.items():
        async with client(hub, f"Bearer {text}") as c:
            assert (await allowed(c, "a"), await allowed(c, "b")) == (in_a, in_b)
            assert (await c.ask("GET", "/v2/")).status_code == 200


async def test_a_form_gets_a_token_as_a_header_does(hub: RunningHub) -> None:
    async with client(hub) as owner:
        await owner.push("a", "1", b"layer")
    user, key = policy_login(hub, "registryRead")
    form = {"grant_type": "password", "username": user, "password": key, "service": "x"}
    async with client(hub, "") as c:
        text = await token(c, "repository:a:pull", method="POST", form=form)
        refused = [
            await c.http.post("/v2/token", data={**form, "password": "wrong"}),
            await c.http.post("/v2/token", data={**form, "grant_type": "refresh_token"}),
            await c.http.post("/v2/token", data={"grant_type": "password"}),
            await c.http.post("/v2/token", content=b"&".join([b"a=1"] * 50)),
        ]
        assert [answer.status_code for answer in refused] == [401, 405, 400, 400]
    async with client(hub, f"Bearer {text}") as c:
        assert await allowed(c) == {"pull"}


async def test_a_disabled_device_loses_the_token_it_has(hub: RunningHub) -> None:
    document = await hub.service.create_device("pi")
    async with client(hub) as owner:
        await owner.push("a", "1", b"layer")
    async with client(hub, basic("pi", key_of(document))) as c:
        text = await token(c, "repository:a:pull")
    async with client(hub, f"Bearer {text}") as c:
        assert await allowed(c) == {"pull"}
        await hub.service.update_device({**await hub.service.device("pi"), "status": "disabled"})
        assert await allowed(c) == set()


async def test_a_strange_host_is_not_repeated(hub: RunningHub) -> None:
    async with client(hub, "") as c:
        answer = await c.http.get("/v2/", headers={"host": 'evil",service="x'})
        assert answer.headers["www-authenticate"] == 'Basic realm="skerry hub"'
        assert not re.search("evil", answer.text)


async def test_a_device_without_a_key_shows_its_certificate(hub: RunningHub) -> None:
    own, foreign = self_signed("pi", SystemClock()), self_signed("pi", SystemClock())
    await hub.service.create_device("pi", authentication=self_signed_by(thumbprint(own)))
    await hub.service.create_device("other")
    async with client(hub) as owner:
        await owner.push("a", "1", b"layer")
    for shown, name, rights in (
        (own, "pi", {"pull"}),
        (foreign, "pi", set()),
        (own, "other", set()),
        (None, "pi", set()),
    ):
        tls = client_context(hub.ca_pem)
        if shown is not None:
            load_certificate(tls, shown.cert_chain_pem, shown.key_pem)
        url = f"https://localhost:{hub.addresses.https_port}"
        async with httpx.AsyncClient(base_url=url, verify=tls, trust_env=False) as http:
            c = Client(http, basic(name, ""))
            assert await allowed(c) == rights
            if rights:
                text = await token(c, "repository:a:pull")
                assert await allowed(Client(http, f"Bearer {text}")) == rights
