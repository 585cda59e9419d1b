"""``skerry hub registry`` against a hub that runs in this process."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from skerry.cli.hub_registry import registry
from skerry.errors import InvalidInput
from tests.unit.hub.containers.client import client
from tests.unit.hub.running import running_hub


async def test_images_are_listed_deleted_and_their_space_freed(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as hub, client(hub) as c:

        async def run(*arguments: str) -> Result:
            options = ["--hub-dir", str(hub.data_dir), "--hub-port", str(hub.addresses.https_port)]
            words = [arguments[0], *options, *arguments[1:]]
            return await asyncio.to_thread(CliRunner().invoke, registry, words)

        digest = await c.push("solar/cnn", "1", b"layer")
        said = (await run("list")).stdout
        assert f"solar/cnn   1    {digest}" in said
        listed = json.loads((await run("list", "--output", "json")).stdout)
        assert (await run("delete", "solar/cnn:1")).stdout == "solar/cnn:1 deleted\n"
        assert (await run("delete", f"solar/cnn@{digest}")).exception is None
        assert isinstance((await run("delete", "solar/cnn")).exception, InvalidInput)
        assert (await run("gc")).stdout == "removed 0 manifests and 0 blobs: 0.0 MB\n"  # too young
        freed = json.loads((await run("gc", "--untagged", "--grace", "0", "--output", "json")).stdout)
        assert freed == {"manifests": 0, "blobs": 3, "bytes": listed["bytes"]}
