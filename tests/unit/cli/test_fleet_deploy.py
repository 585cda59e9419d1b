"""``skerry deploy create|plan|list|show|delete`` against a running hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from skerry.cli.main import skerry_command
from skerry.errors import InvalidInput
from tests.unit.hub.running import RunningHub, manifest, running_hub
from tests.unit.hub.test_configurations import becomes, states


async def skerry(hub: RunningHub, *words: str) -> Result:
    """A command as a person gives it, in a thread, since it runs a loop of its own."""
    where = ["--hub-dir", str(hub.data_dir), "--hub-port", str(hub.addresses.https_port)]
    return await asyncio.to_thread(CliRunner().invoke, skerry_command, ["deploy", *words, *where])


def written(tmp_path: Path, document: Any) -> str:
    path = tmp_path / "content.json"
    path.write_text(json.dumps(document))
    return str(path)


async def test_a_deployment_is_planned_created_listed_shown_and_deleted(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        await hub.service.create_device("edge", edge=True)
        await hub.service.patch_twin("edge", tags={"room": "a"})
        content = written(tmp_path, {"content": manifest("cnn", cnn={"a": 1})})
        options = ["base", content, "-t", "tags.room='a'", "--priority", "3", "--label", "env=test"]
        planned = await skerry(hub, "plan", *options)
        assert planned.exit_code == 0, planned.output
        assert planned.output.splitlines()[1].split()[:4] == ["edge", "base:", "-", "→"]
        assert "cnn: a" in planned.output
        assert json.loads((await skerry(hub, "list", "--output", "json")).output) == []
        made = await skerry(hub, "create", *options)
        assert "is for 1 device(s)" in made.output
        await becomes(lambda: states(hub), {"base": "Applied"})
        assert (await skerry(hub, "plan", *options)).output == "nothing would change\n"
        row = (await skerry(hub, "list")).output.splitlines()[1].split()
        assert row == ["base", "3", "tags.room='a'", "1", "1", "0", "0"]
        shown = json.loads((await skerry(hub, "show", "base")).output)
        assert shown["labels"] == {"env": "test"}
        assert "deleted" in (await skerry(hub, "delete", "base")).output
        await becomes(lambda: states(hub), {})


async def test_mistakes_show_before_anything_is_sent(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        good = written(tmp_path, {"deviceContent": {"properties.desired.a": 1}})
        for words in (
            ["create", "c", good, "-t", "tags.a ="],
            ["create", "Bad Name", good],
            ["plan", "c", good, "--label", "x"],
            ["plan", "c", written(tmp_path, {"other": 1})],
        ):
            done = await skerry(hub, *words)
            assert isinstance(done.exception, InvalidInput), words
        assert (await hub.raw("GET", "/configurations")).json() == []
