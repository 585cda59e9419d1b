"""No secret of a site is anywhere but where it belongs: not in twins, logs, bundles or process lists."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import SystemClock
from skerry.edge.daemon.identity_source import Certificate, Dps, Source, registration
from skerry.hub.client import ServiceClient
from skerry.service.certificates import Authority
from tests.support.shell_image import write_shell_image
from tests.system.bad_input.command import Running, skerry, until
from tests.system.bad_input.site import Site, some_key

pytestmark = pytest.mark.system

DEVICE = "press-1"
SCRIPT = 'trap "exit 0" TERM; echo "started with a key of ${#DB_PASSWORD}"; while :; do sleep 0.2; done'


def manifest(password: str, login: str) -> dict[str, object]:
    agent = {
        "schemaVersion": "1.1",
        "runtime": {
            "type": "docker",
            "settings": {
                "registryCredentials": {
                    "own": {"address": "registry.invalid", "username": "device", "password": login}
                }
            },
        },
        "systemModules": {},
        "modules": {
            "cnn": {
                "type": "docker",
                "status": "running",
                "restartPolicy": "always",
                "env": {"DB_PASSWORD": {"value": password}},
                "settings": {"image": "shell:1", "createOptions": "{}"},
            },
            "absent": {
                "type": "docker",
                "status": "running",
                "restartPolicy": "always",
                "env": {"DB_PASSWORD": {"value": password}},
                "settings": {"image": "registry.invalid/absent:1", "createOptions": "{}"},
            },
        },
    }
    hub = {"schemaVersion": "1.1", "routes": {}, "storeAndForwardConfiguration": {"timeToLiveSecs": 60}}
    return {
        "modulesContent": {
            "$edgeAgent": {"properties.desired": agent},
            "$edgeHub": {"properties.desired": hub},
        }
    }


def test_secrets_stay_where_they_belong(tmp_path: Path) -> None:
    site, password, login = Site(tmp_path), some_key(), some_key()
    write_shell_image(tmp_path / "images", "shell:1", script=SCRIPT)
    with site.serving() as hub:
        source, own = by_certificate(site)
        settings = site.provision(tmp_path / "edge", source, images_dir=tmp_path / "images")
        content = manifest(password, login)
        with site.running_edge(settings) as edge:
            until(lambda: _registered(site), "the device did not find its hub", tries=400)
            site.ask(lambda client: client.apply_configuration(DEVICE, content))
            until(lambda: _runs(settings.data_dir), "the module did not run")
            seen = dict(_texts(site, settings.data_dir))
            seen |= dict(_process_list())
            keys = site.ask(_keys)
        texts = {**seen, "the hub's log": _log(hub), "the runtime's log": _log(edge)}
    secrets = {
        "the owner's key": site.owner_key,
        "a module's environment": password,
        "a registry's password": login,
        **own,
        **keys,
    }
    assert all(len(secret) > 16 for secret in secrets.values())
    assert "a key of 44" in texts["the module's log"]
    found = [(name, place) for name, key in secrets.items() for place, text in texts.items() if key in text]
    assert found == []


def by_certificate(site: Site) -> tuple[Source, dict[str, str]]:
    line = Authority.create("line", SystemClock())
    own = line.issue_client(DEVICE)
    signing = {"signingCertificates": {"primary": {"certificate": line.certificate_pem}}}
    document = {"attestation": {"type": "x509", "x509": signing}, "capabilities": {"iotEdge": True}}
    site.ask(lambda client: client.put_enrollment("line", document, group=True))
    source = asked(site, certificate=Certificate(own.cert_chain_pem, own.key_pem))
    return source, {"a line of the device's private key": own.key_pem.splitlines()[2]}


def asked(site: Site, **proof: Any) -> Dps:
    scope = site.ask(lambda client: client.provisioning())["idScope"]
    return Dps(registration(scope, DEVICE), f"https://localhost:{site.https_port}", **proof)


def _registered(site: Site) -> bool:
    found = site.ask(lambda client: client.devices())
    return [one["deviceId"] for one in found] == [DEVICE] and len(site.ask(_keys)) >= 4


def _runs(data_dir: Path) -> bool:
    listed = skerry("edge", "list", "--dir", data_dir, "--output", "json")
    modules = json.loads(listed.out) if listed.code == 0 else []
    states = {one["name"]: one["status"]["runtimeStatus"]["status"] for one in modules}
    return states.get("cnn") == "running" and "absent" in states


async def _keys(client: ServiceClient) -> dict[str, str]:
    """Every key of every identity of the device, by what it is."""
    found = {}
    for identity in [await client.device(DEVICE), *await client.modules(DEVICE)]:
        name = identity.get("moduleId", "device")
        for which, key in (identity["authentication"].get("symmetricKey") or {}).items():
            if key:
                found[f"{which} of {name}"] = key
    return found


async def _reported(client: ServiceClient) -> list[tuple[str, str]]:
    names = ("$edgeAgent", "$edgeHub", "cnn")
    twins = [await client.twin(DEVICE, name) for name in names]
    reported = [json.dumps(twin["properties"]["reported"]) for twin in twins]
    return [(f"what {name} reports", text) for name, text in zip(names, reported, strict=True)]


def _texts(site: Site, data_dir: Path) -> Iterator[tuple[str, str]]:
    yield from site.ask(_reported)
    yield "the module's log", skerry("edge", "logs", "cnn", "--dir", data_dir).out
    yield from _told(data_dir, ["why", "absent"], ["why", "cnn"])


def _told(data_dir: Path, *more: list[str]) -> Iterator[tuple[str, str]]:
    """What the device says of itself."""
    for command in (["status"], ["check", "--output", "json"], *more):
        outcome = skerry("edge", *command, "--dir", data_dir)
        yield f"skerry edge {' '.join(command)}", outcome.out + outcome.err
    bundle = data_dir.parent / "bundle.zip"
    skerry("edge", "support-bundle", "--dir", data_dir, "-o", bundle).succeeded()
    with zipfile.ZipFile(io.BytesIO(bundle.read_bytes())) as archive:
        for name in archive.namelist():
            yield f"{name} in the support bundle", archive.read(name).decode(errors="replace")


def _process_list() -> Iterator[tuple[str, str]]:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                yield f"process {process.name}", (process / "cmdline").read_text(errors="replace")
            except OSError:
                continue  # it ended meanwhile


def _log(process: Running) -> str:
    process.stop()
    return process.text
