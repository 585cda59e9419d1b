"""File upload with Microsoft's SDKs: Python's device client, Node's ``uploadToBlob`` with its blob client,
and Node's service client that is told."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from azure.iot.device import IoTHubDeviceClient

from skerry.service.tls import client_context
from tests.support.stack import Hub
from tests.system.sdk import npm
from tests.system.sdk.clients import SDK_MARKS

pytestmark = SDK_MARKS

PROGRAM = Path(__file__).parent / "node" / "upload.js"


def notice(hub: Hub) -> Any:
    return hub.call(lambda service: service.call("GET", "/messages/serviceBound/filenotifications"))


def content(hub: Hub, name: str) -> bytes:
    async def read(service: Any) -> bytes:
        async with service.download(f"/uploads/{name}") as chunks:
            return b"".join([chunk async for chunk in chunks])

    return hub.call(read)


def test_the_python_client_uploads_a_file(hub: Hub) -> None:
    client = IoTHubDeviceClient.create_from_connection_string(
        hub.create_device("dev-1"), server_verification_cert=hub.ca_file.read_text()
    )
    client.connect()
    told = client.get_storage_info_for_blob("pictures/a.jpg")
    # As the SDK's samples join it for the blob client.
    url = f"https://{told['hostName']}/{told['containerName']}/{told['blobName']}{told['sasToken']}"
    request = urllib.request.Request(url, b"jpeg", {"x-ms-blob-type": "BlockBlob"}, method="PUT")
    with urllib.request.urlopen(request, context=client_context(hub.ca_file.read_text())) as answer:
        assert answer.status == 201
    client.notify_blob_upload_status(told["correlationId"], True, 200, "done")
    client.shutdown()
    assert notice(hub)["blobName"] == "dev-1/pictures/a.jpg"
    assert content(hub, "dev-1/pictures/a.jpg") == b"jpeg"


def test_the_node_client_uploads_a_file_in_blocks_and_a_service_hears_of_it(hub: Hub) -> None:
    environment = {
        "NODE_PATH": str(npm.modules()),
        "NODE_EXTRA_CA_CERTS": str(hub.ca_file),
        "DEVICE": hub.create_device("dev-1"),
        "SERVICE": hub.service_string,
        "BYTES": str(9_000_000),
    }
    done = subprocess.run(
        ["node", str(PROGRAM)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["blobName"], said["blobSizeInBytes"]) == ("dev-1/big.bin", 9_000_000)
    assert content(hub, "dev-1/big.bin") == bytes([7]) * 9_000_000
