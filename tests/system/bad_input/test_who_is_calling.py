"""Unknown devices, wrong keys, expired tokens: each says so, and nothing is done."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.hub.certificates import ca_file
from skerry.service.tls import client_context
from tests.system.bad_input.command import SEEN, Outcome, Running, skerry, until
from tests.system.bad_input.site import Site, some_key

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    "command",
    [
        ("device", "connection-string", "nobody"),
        ("twin", "show", "nobody"),
        ("method", "invoke", "nobody", "ping"),
        ("deploy", "status", "nobody"),
    ],
    ids=" ".join,
)
def test_a_command_about_an_unknown_device(site: Site, command: tuple[str, ...]) -> None:
    site.skerry(*command).failed(4, "nobody", "is not registered", "create it first")


def test_an_illegal_device_id_is_named_with_the_rule(site: Site) -> None:
    site.skerry("device", "create", "bad id/").failed(
        3, "illegal device id", "bad id/", "1 to 128 characters"
    )


def test_a_device_that_is_not_online_is_another_thing_than_an_unknown_one(site: Site) -> None:
    site.create_device("asleep")
    site.skerry("method", "invoke", "asleep", "ping").failed(7, "asleep is not online", "DeviceNotOnline")
    site.skerry("device", "create", "asleep").failed(6, "asleep exists already")


def test_a_service_with_the_wrong_key(site: Site) -> None:
    wrong = some_key()
    text = f"HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey={wrong}"
    outcome = as_service(site, text).failed(5, "was not made with a key", "check the key")
    assert wrong not in outcome.err
    text = f"HostName=localhost;SharedAccessKeyName=nopolicy;SharedAccessKey={wrong}"
    as_service(site, text).failed(5, "no such shared access policy", "SharedAccessKeyName")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("garbage", "known: HostName, DeviceId"),
        ("HostName=localhost;SharedAccessKeyName=iothubowner", "exactly one credential"),
        ("HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey={key}*", "is not base64"),
        ("HostName=localhost;DeviceId=dev;SharedAccessKey={key}", "is not a service's"),
    ],
    ids=["garbage", "no key", "a mistyped key", "a device's"],
)
def test_a_malformed_connection_string_of_a_service(site: Site, text: str, said: str) -> None:
    key = some_key()
    outcome = as_service(site, text.format(key=key)).failed(3, said, "hint: ")
    assert key not in outcome.err


def test_a_token_that_has_expired_is_answered_in_azures_words(site: Site) -> None:
    device = ConnectionString.parse(site.create_device("late"))
    past = int(SystemClock().now().timestamp()) - 1
    calls = {
        "/devices/late": make_token("localhost", key_signer(site.owner_key), past, "iothubowner"),
        "/devices/late/modules": make_token(
            "localhost/devices/late", key_signer(device.shared_access_key or ""), past
        ),
    }
    with httpx.Client(verify=client_context(site.ca_pem), trust_env=False) as http:
        for path, token in calls.items():
            answer = http.get(
                f"https://localhost:{site.https_port}{path}?api-version=2021-04-12",
                headers={"authorization": token},
            )
            assert answer.status_code == 401
            assert answer.headers["iothub-errorcode"] == "IotHubUnauthorizedAccess"
            assert "ErrorCode:IotHubUnauthorizedAccess;the token has expired" in answer.json()["Message"]


@pytest.mark.parametrize(
    ("known", "said"),
    [(True, "was not made with a key of this identity"), (False, "is not registered here")],
    ids=["wrong key", "unknown device"],
)
def test_a_device_the_hub_refuses_says_so_in_log_and_status(
    site: Site, tmp_path: Path, known: bool, said: str
) -> None:
    name = "known" if known else "unheard-of"
    if known:
        site.create_device(name)
    key = some_key()
    site.provision(tmp_path / "d", f"HostName=localhost;DeviceId={name};SharedAccessKey={key}")
    with Running("edge", "run", "--dir", tmp_path / "d", "--log-level", "debug") as edge:
        line = edge.wait_for("the hub refuses this device")
        assert "WARNING" in line
        assert "401 IotHubUnauthorizedAccess" in line
        assert said in line
        assert "skerry edge provision --force" in line
        status = json.loads(skerry("edge", "status", "--dir", tmp_path / "d").succeeded().out)
        assert status["upstream"]["connected"] is False
        assert said in status["upstream"]["lastError"]
        assert edge.alive
    assert edge.text.count("WARNING edge.daemon.identity_watch") == 1
    assert SEEN.holding(key) == []


def test_a_refused_device_works_once_it_has_its_key(site: Site, tmp_path: Path) -> None:
    text = site.create_device("healed")
    key = ConnectionString.parse(text).shared_access_key or ""
    wrong = base64.b64encode(base64.b64decode(key)[::-1]).decode()
    site.provision(tmp_path / "d", text.replace(key, wrong))
    with Running("edge", "run", "--dir", tmp_path / "d") as edge:
        edge.wait_for("the hub refuses this device")
    site.provision(tmp_path / "d", text)
    with Running("edge", "run", "--dir", tmp_path / "d") as edge:
        edge.wait_for("$edgeHub is connected to the hub")

        def said() -> bool:
            status = json.loads(skerry("edge", "status", "--dir", tmp_path / "d").succeeded().out)
            return bool(status["upstream"] == {"connected": True, "lastError": None})

        until(said, "the error is not forgotten")
    assert SEEN.holding(key) == []


def as_service(site: Site, text: str) -> Outcome:
    """A command with this connection string in the environment."""
    ca = str(ca_file(site.hub_dir))
    where = ("--hub-port", str(site.https_port), "--hub-ca", ca)
    return skerry("device", "list", *where, env={"SKERRY_HUB_CONNECTION_STRING": text})
