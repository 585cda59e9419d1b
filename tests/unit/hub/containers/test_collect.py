"""Garbage collection: nothing goes that somebody names or is about to name."""

from typing import Any

from tests.unit.hub.containers.client import Client, client, manifest_of, sha
from tests.unit.hub.running import RunningHub, manifest


async def collect(hub: RunningHub, **asked: Any) -> dict[str, Any]:
    return dict(await hub.service.call("POST", "/containers/collect", {"graceSeconds": 0, **asked}))


async def has(c: Client, repository: str, data: bytes) -> bool:
    return (await c.ask("HEAD", f"/v2/{repository}/blobs/{sha(data)}")).status_code == 200


async def test_layers_go_when_the_last_image_that_names_them_went(hub: RunningHub) -> None:
    async with client(hub) as c:
        first = await c.push("a", "1", b"shared", b"only one")
        await c.push("a", "2", b"shared", b"only two")
        await c.push_blob("a", b"pushed and never named")
        assert await collect(hub) == {"manifests": 0, "blobs": 1, "bytes": 22}
        await c.ask("DELETE", f"/v2/a/manifests/{first}")
        found = await collect(hub)
        assert (found["manifests"], found["blobs"]) == (0, 3)  # its own layer, its config, itself
        assert [await has(c, "a", data) for data in (b"shared", b"only one", b"only two")] == [
            True,
            False,
            True,
        ]
        assert (await c.ask("GET", "/v2/a/manifests/2")).status_code == 200


async def test_another_repository_keeps_its_own(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push("a", "1", b"layer")
        await c.push("b", "1", b"layer")
        await c.ask("DELETE", f"/v2/a/manifests/{digest}")
        assert (await collect(hub))["blobs"] == 0  # all of it is b's too
        assert not await has(c, "a", b"layer")
        assert await has(c, "b", b"layer")


async def test_what_is_young_or_was_just_asked_for_stays(hub: RunningHub) -> None:
    async with client(hub) as c:
        await c.push_blob("a", b"about to be named")
        assert (await collect(hub, graceSeconds=3600))["blobs"] == 0
        assert await has(c, "a", b"about to be named")
        await c.push_blob("a", b"{}")
        assert (await c.put_manifest("a", "1", manifest_of(b"{}", b"about to be named"))).status_code == 201


async def test_untagged_images_go_only_when_asked_and_not_when_deployed(hub: RunningHub) -> None:
    await hub.service.create_device("pi", edge=True)
    async with client(hub) as c:
        old = await c.push("a", "1", b"old")
        pinned = await c.push("a", "1", b"pinned")
        await c.push("a", "1", b"new")
        assert (await collect(hub))["manifests"] == 0
        document = manifest("cnn")
        agent = document["modulesContent"]["$edgeAgent"]["properties.desired"]
        agent["modules"]["cnn"]["settings"]["image"] = f"hub/a@{pinned}"
        await hub.service.apply_configuration("pi", document)
        assert (await collect(hub, untagged=True))["manifests"] == 1
        states = {
            digest: (await c.ask("GET", f"/v2/a/manifests/{digest}")).status_code for digest in (old, pinned)
        }
        assert states == {old: 404, pinned: 200}
        assert [await has(c, "a", data) for data in (b"old", b"pinned", b"new")] == [False, True, True]


async def test_what_is_attached_lives_as_long_as_what_it_is_attached_to(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push("a", "1", b"layer")
        await c.push_blob("a", b"{}")
        subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
        data = manifest_of(b"{}", subject=subject)
        await c.put_manifest("a", sha(data), data)
        assert (await collect(hub, untagged=True))["manifests"] == 0
        await c.ask("DELETE", f"/v2/a/manifests/{digest}")
        assert (await collect(hub, untagged=True))["manifests"] == 1


async def test_the_listing_and_the_audit_log_tell_what_was_done(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push("a", "1", b"layer")
        listed = await hub.service.call("GET", "/containers")
        (image,) = listed["images"]
        assert {name: image[name] for name in ("repository", "tag", "digest", "pushedBy")} == {
            "repository": "a",
            "tag": "1",
            "digest": digest,
            "pushedBy": "policy iothubowner",
        }
        assert image["bytes"] == listed["bytes"]
        await c.ask("DELETE", "/v2/a/manifests/1")
        await collect(hub)
    entries = await hub.service.call("GET", "/audit", query={"top": "3"})
    assert [(entry["who"], entry["action"], entry["target"]) for entry in entries] == [
        ("policy iothubowner", "containers.collect", "containers"),
        ("policy iothubowner", "image.delete", "a/1"),
        ("policy iothubowner", "image.push", "a/1"),
    ]


async def test_only_who_may_change_the_registry_collects(hub: RunningHub) -> None:
    for policy, status in (("registryRead", 403), ("registryReadWrite", 200)):
        answer = await hub.raw("POST", "/containers/collect", hub.token(policy), body={})
        assert answer.status_code == status
    wrong = await hub.raw("POST", "/containers/collect", body={"graceSeconds": -1})
    assert wrong.status_code == 400
    assert (await hub.raw("GET", "/containers", hub.token("service"))).status_code == 403
