import base64

from skerry.contract.credentials import ConnectionString
from skerry.contract.message import Message
from skerry.hub.setup import connection_string
from tests.unit.hub.running import RunningHub, connected, manifest


def login(hub: RunningHub, policy: str, key: str | None = None) -> str:
    known = ConnectionString.parse(connection_string(hub.data_dir, policy)).shared_access_key
    return "Basic " + base64.b64encode(f"{policy}:{key or known}".encode()).decode()


async def test_health_and_metrics_are_open_and_count(hub: RunningHub) -> None:
    assert (await hub.raw("GET", "/healthz", "")).text == "Healthy"
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        await device.send(Message(b"x"))
        lines = (await hub.raw("GET", "/metrics", "")).text.splitlines()
    assert "skerry_hub_connected_clients 1.0" in lines
    assert "skerry_hub_telemetry_stored_total 1.0" in lines
    assert not any("dev" in line for line in lines if line.startswith("skerry"))


async def test_the_dashboard_asks_for_a_login_and_takes_a_policy_key(hub: RunningHub) -> None:
    answer = await hub.raw("GET", "/", "")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    for wrong in (login(hub, "iothubowner", "wrong"), login(hub, "service", "ä"), "Basic !", "Basic /w=="):
        assert (await hub.raw("GET", "/dashboard", wrong)).status_code == 401
    assert (await hub.raw("GET", "/", login(hub, "registryRead"))).status_code == 403
    page = await hub.raw("GET", "/", login(hub, "iothubowner"))
    assert page.status_code == 200
    assert "No devices yet." in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_a_login_reads_and_never_changes_anything(hub: RunningHub) -> None:
    owner = login(hub, "iothubowner")
    assert (await hub.raw("GET", "/events/page?after=0&wait=0", owner)).status_code == 200
    assert (await hub.raw("PUT", "/devices/dev", owner, body={"deviceId": "dev"})).status_code == 401


async def test_the_dashboard_shows_modules_as_reported_and_escapes_them(hub: RunningHub) -> None:
    await hub.service.create_device("edge", edge=True)
    await hub.service.apply_configuration("edge", manifest("cnn"))
    agent = hub.device(await hub.service.module("edge", "$edgeAgent"))
    async with connected(agent):
        await agent.report(
            {
                "modules": {
                    "cnn": {
                        "runtimeStatus": "running",
                        "statusDescription": "<script>alert(1)</script>",
                        "settings": {"image": "cnn:1"},
                    }
                },
                "systemModules": {"edgeHub": 5},
            }
        )
    page = (await hub.raw("GET", "/dashboard", login(hub, "iothubowner"))).text
    assert '<td class="running">running</td>' in page
    assert "<td>cnn:1</td>" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert '<section id="device-edge">' in page
