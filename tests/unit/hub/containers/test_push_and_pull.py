"""The registry as the OCI distribution specification wants it: blobs, uploads, manifests, tags, referrers."""

import asyncio
import json
from pathlib import Path

import pytest

from skerry.oci.image import OCI_INDEX, OCI_MANIFEST
from skerry.service.tls import client_context
from tests.unit.hub.containers.client import client, code, described, manifest_of, sha
from tests.unit.hub.running import RunningHub, running_hub

ABSENT = sha(b"absent")


async def test_what_was_pushed_is_pulled(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push("solar/cnn", "1", b"layer one", b"layer two")
        for reference in ("1", digest):
            answer = await c.ask("GET", f"/v2/solar/cnn/manifests/{reference}")
            assert (answer.status_code, sha(answer.content)) == (200, digest)
            assert answer.headers["docker-content-digest"] == digest
            assert answer.headers["content-type"] == OCI_MANIFEST
            head = await c.ask("HEAD", f"/v2/solar/cnn/manifests/{reference}")
            assert head.headers["content-length"] == str(len(answer.content))
        blob = f"/v2/solar/cnn/blobs/{sha(b'layer one')}"
        assert (await c.ask("GET", blob)).content == b"layer one"
        head = await c.ask("HEAD", blob)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "9", b"")
        part = await c.ask("GET", blob, headers={"range": "bytes=6-"})
        assert (part.status_code, part.content) == (206, b"one")


async def test_what_is_not_there_has_its_code(hub: RunningHub) -> None:
    async with client(hub) as c:
        await c.push("a", "1", b"layer")
        for path, expected in {
            f"/v2/a/blobs/{ABSENT}": "BLOB_UNKNOWN",
            "/v2/a/manifests/2": "MANIFEST_UNKNOWN",
            f"/v2/a/manifests/{ABSENT}": "MANIFEST_UNKNOWN",
            "/v2/a/manifests/.no-tag": "MANIFEST_UNKNOWN",
            f"/v2/a/blobs/uploads/{'0' * 32}": "BLOB_UPLOAD_UNKNOWN",
            "/v2/none/tags/list": "NAME_UNKNOWN",
            "/v2/a/elsewhere": "NAME_UNKNOWN",
        }.items():
            answer = await c.ask("GET", path)
            assert (answer.status_code, code(answer)) == (404, expected), path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/Upper/manifests/1", "NAME_INVALID"),
        ("/v2/a/../b/manifests/1", "NAME_INVALID"),
        (f"/v2/{'a' * 300}/manifests/1", "NAME_INVALID"),
        ("/v2/a/blobs/sha256:short", "DIGEST_INVALID"),
        ("/v2/a/blobs/md5:1", "DIGEST_INVALID"),
    ],
)
async def test_names_that_break_the_grammar_are_refused(hub: RunningHub, path: str, expected: str) -> None:
    async with client(hub) as c:
        answer = await c.ask("GET", path.replace("..", "%2E%2E"))
        assert (answer.status_code, code(answer)) == (400, expected)


async def test_a_blob_in_chunks_goes_on_where_it_was(hub: RunningHub) -> None:
    data = b"0123456789" * 1000
    async with client(hub) as c:
        begun = await c.ask("POST", "/v2/a/blobs/uploads/")
        assert begun.status_code == 202
        place = begun.headers["location"]
        first = await c.ask("PATCH", place, content=data[:4000], headers={"content-range": "0-3999"})
        assert (first.status_code, first.headers["range"]) == (202, "0-3999")
        wrong = await c.ask("PATCH", place, content=data[5000:], headers={"content-range": "5000-9999"})
        assert (wrong.status_code, wrong.headers["range"]) == (416, "0-3999")
        asked = await c.ask("GET", place)
        assert (asked.status_code, asked.headers["range"]) == (204, "0-3999")
        await c.ask("PATCH", place, content=data[4000:9000])  # as Docker streams: no range at all
        done = await c.ask("PUT", f"{place}?digest={sha(data)}", content=data[9000:])
        assert (done.status_code, done.headers["docker-content-digest"]) == (201, sha(data))
        assert (await c.ask("GET", done.headers["location"])).content == data
        assert (await c.ask("GET", place)).status_code == 404


async def test_an_upload_survives_a_restart_of_the_hub(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub, client(hub) as c:
        place = (await c.ask("POST", "/v2/a/blobs/uploads/")).headers["location"]
        await c.ask("PATCH", place, content=b"first half, ")
    async with running_hub(tmp_path / "hub") as hub, client(hub) as c:
        assert (await c.ask("GET", place)).headers["range"] == "0-11"
        await c.ask("PATCH", place, content=b"second half", headers={"content-range": "12-22"})
        whole = b"first half, second half"
        assert (await c.ask("PUT", f"{place}?digest={sha(whole)}")).status_code == 201
        assert (await c.ask("GET", f"/v2/a/blobs/{sha(whole)}")).content == whole


async def test_what_a_client_sent_before_it_vanished_is_kept(hub: RunningHub) -> None:
    async with client(hub) as c:
        place = (await c.ask("POST", "/v2/a/blobs/uploads/")).headers["location"]
        token = c.authorization
    reader, writer = await asyncio.open_connection(
        "localhost", hub.addresses.https_port, ssl=client_context(hub.ca_pem)
    )
    head = (
        f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\nContent-Length: 9999\r\n\r\n"
    )
    writer.write(head.encode() + b"x" * 5000)
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()
    del reader
    async with client(hub) as c, asyncio.timeout(10):
        while (await c.ask("GET", place)).headers["range"] != "0-4999":
            await asyncio.sleep(0.02)


async def test_content_that_is_not_its_digest_is_refused_and_lost(hub: RunningHub) -> None:
    async with client(hub) as c:
        place = (await c.ask("POST", "/v2/a/blobs/uploads/")).headers["location"]
        await c.ask("PATCH", place, content=b"something")
        refused = await c.ask("PUT", f"{place}?digest={ABSENT}")
        assert (refused.status_code, code(refused)) == (400, "DIGEST_INVALID")
        assert (await c.ask("GET", place)).status_code == 404
        assert (await c.ask("HEAD", f"/v2/a/blobs/{ABSENT}")).status_code == 404
        cancelled = (await c.ask("POST", "/v2/a/blobs/uploads/")).headers["location"]
        assert (await c.ask("DELETE", cancelled)).status_code == 204
        assert (await c.ask("DELETE", cancelled)).status_code == 404


async def test_a_blob_is_mounted_from_another_repository(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push_blob("a", b"shared")
        assert (await c.ask("HEAD", f"/v2/b/blobs/{digest}")).status_code == 404
        mounted = await c.ask("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a")
        assert (mounted.status_code, mounted.headers["location"]) == (201, f"/v2/b/blobs/{digest}")
        assert (await c.ask("GET", f"/v2/b/blobs/{digest}")).content == b"shared"
        otherwise = await c.ask("POST", f"/v2/b/blobs/uploads/?mount={ABSENT}&from=a")
        assert otherwise.status_code == 202
        assert "/blobs/uploads/" in otherwise.headers["location"]


async def test_a_manifest_that_names_what_is_not_there_is_refused(hub: RunningHub) -> None:
    config, layer = b"{}", b"layer"
    async with client(hub) as c:
        await c.push_blob("a", config)
        answer = await c.put_manifest("a", "1", manifest_of(config, layer))
        assert (answer.status_code, code(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert sha(layer) in answer.text
        await c.push_blob("a", layer)
        lying = json.loads(manifest_of(config, layer))
        lying["layers"][0]["size"] += 1
        answer = await c.put_manifest("a", "1", json.dumps(lying).encode())
        assert code(answer) == "MANIFEST_BLOB_UNKNOWN"
        # Another repository's blobs are not this one's.
        assert code(await c.put_manifest("b", "1", manifest_of(config, layer))) == "MANIFEST_BLOB_UNKNOWN"
        assert (await c.ask("GET", "/v2/a/tags/list")).status_code == 404


@pytest.mark.parametrize(
    "document",
    [
        b"no json",
        b"[]",
        b'{"schemaVersion": 1}',
        json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode(),
        json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode(),
        b'{"schemaVersion": 2, "config": {"mediaType": "a", "size": -1, "digest": "x"}, "layers": []}',
    ],
)
async def test_malformed_manifests_are_refused(hub: RunningHub, document: bytes) -> None:
    async with client(hub) as c:
        answer = await c.put_manifest("a", "1", document)
        assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


async def test_a_manifest_is_at_most_4_mib_and_is_what_its_digest_says(hub: RunningHub) -> None:
    async with client(hub) as c:
        answer = await c.put_manifest("a", "1", b" " * ((4 << 20) + 1))
        assert answer.status_code == 413
        await c.push_blob("a", b"{}")
        data = manifest_of(b"{}")
        assert code(await c.put_manifest("a", ABSENT, data)) == "DIGEST_INVALID"
        assert (await c.put_manifest("a", sha(data), data)).status_code == 201
        assert (await c.put_manifest("a", "bad tag", data)).status_code == 400


async def test_an_index_needs_its_manifests(hub: RunningHub) -> None:
    async with client(hub) as c:
        await c.push_blob("a", b"{}")
        child = manifest_of(b"{}")
        index = json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described(child, OCI_MANIFEST)]}
        ).encode()
        assert code(await c.put_manifest("a", "all", index, OCI_INDEX)) == "MANIFEST_BLOB_UNKNOWN"
        await c.put_manifest("a", sha(child), child)
        assert (await c.put_manifest("a", "all", index, OCI_INDEX)).status_code == 201
        assert (await c.ask("GET", "/v2/a/manifests/all")).headers["content-type"] == OCI_INDEX


async def test_tags_and_repositories_come_in_pages(hub: RunningHub) -> None:
    async with client(hub) as c:
        for tag in ("1", "2", "3", "latest"):
            await c.push("a", tag, b"layer")
        await c.push("b/c", "1", b"layer")
        assert (await c.ask("GET", "/v2/a/tags/list")).json() == {
            "name": "a",
            "tags": ["1", "2", "3", "latest"],
        }
        seen, path = [], "/v2/a/tags/list?n=3"
        while path:
            answer = await c.ask("GET", path)
            seen.append(answer.json()["tags"])
            path = answer.links.get("next", {}).get("url", "")
        assert seen == [["1", "2", "3"], ["latest"]]
        assert (await c.ask("GET", "/v2/a/tags/list?n=0")).json()["tags"] == []
        assert (await c.ask("GET", "/v2/a/tags/list?n=many")).status_code == 400
        page = await c.ask("GET", "/v2/_catalog?n=1")
        assert page.json() == {"repositories": ["a"]}
        assert (await c.ask("GET", page.links["next"]["url"])).json() == {"repositories": ["b/c"]}


async def test_what_is_attached_to_a_manifest_is_found(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push("a", "1", b"layer")
        subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1}
        await c.push_blob("a", b"{}")
        more = {"artifactType": "application/x.sbom", "subject": subject, "annotations": {"made": "here"}}
        data = manifest_of(b"{}", **more)
        pushed = await c.put_manifest("a", sha(data), data)
        assert pushed.headers["oci-subject"] == digest
        answer = await c.ask("GET", f"/v2/a/referrers/{digest}")
        assert answer.headers["content-type"] == OCI_INDEX
        (found,) = answer.json()["manifests"]
        assert found == {
            **described(data, OCI_MANIFEST),
            "artifactType": "application/x.sbom",
            "annotations": {"made": "here"},
        }
        other = await c.ask("GET", f"/v2/a/referrers/{digest}?artifactType=other")
        assert (other.json()["manifests"], other.headers["oci-filters-applied"]) == ([], "artifactType")
        assert (await c.ask("GET", f"/v2/a/referrers/{ABSENT}")).json()["manifests"] == []


async def test_tags_manifests_and_blobs_are_deleted(hub: RunningHub) -> None:
    async with client(hub) as c:
        digest = await c.push("a", "1", b"layer")
        await c.push("a", "2", b"layer")
        blob = f"/v2/a/blobs/{sha(b'layer')}"
        assert (await c.ask("DELETE", blob)).status_code == 405  # a manifest needs it
        assert (await c.ask("DELETE", "/v2/a/manifests/1")).status_code == 202
        assert (await c.ask("GET", "/v2/a/tags/list")).json()["tags"] == ["2"]
        assert (await c.ask("GET", f"/v2/a/manifests/{digest}")).status_code == 200
        assert (await c.ask("DELETE", f"/v2/a/manifests/{digest}")).status_code == 202
        assert (await c.ask("DELETE", f"/v2/a/manifests/{digest}")).status_code == 404
        assert (await c.ask("GET", "/v2/a/manifests/2")).status_code == 404  # its tags went too
        assert (await c.ask("DELETE", blob)).status_code == 202
        assert (await c.ask("GET", blob)).status_code == 404


async def test_a_push_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=1 << 60) as hub, client(hub) as c:
        answer = await c.ask("POST", "/v2/a/blobs/uploads/")
        assert (answer.status_code, code(answer)) == (507, "UNAVAILABLE")
        assert "stay free" in answer.text


async def test_uploads_at_the_same_time_are_bounded(hub: RunningHub) -> None:
    async with client(hub) as c:
        begun = [await c.ask("POST", "/v2/a/blobs/uploads/") for _ in range(64)]
        assert {answer.status_code for answer in begun} == {202}
        refused = await c.ask("POST", "/v2/a/blobs/uploads/")
        assert (refused.status_code, code(refused)) == (429, "TOOMANYREQUESTS")
        await c.ask("DELETE", begun[0].headers["location"])
        assert (await c.ask("POST", "/v2/a/blobs/uploads/")).status_code == 202
