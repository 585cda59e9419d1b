"""``skerry lint`` by its exit code and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from skerry.cli.lint import lint
from tests.unit.hub.running import manifest


def test_findings_are_printed_with_their_place_and_make_exit_code_1(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(manifest("cnn")))
    bad.write_text(json.dumps({"properties": {"desired": {"a.b": 1}}}))
    fine = CliRunner().invoke(lint, [str(good), "--target-condition", "tags.a = 1"])
    assert (fine.exit_code, fine.output) == (0, "Azure would take it\n")
    refused = CliRunner().invoke(lint, [str(good), str(bad), "--query", "SELECT jobId FROM devices.jobs"])
    assert refused.exit_code == 1
    first, second = refused.output.splitlines()
    assert first.startswith(f"{bad}: properties.desired.a.b: illegal property name")
    assert second.startswith("SELECT jobId FROM devices.jobs: a projection")
    shown = CliRunner().invoke(lint, [str(bad), "--output", "json"])
    assert [finding["where"] for finding in json.loads(shown.output)] == [str(bad)]
    assert CliRunner().invoke(lint, []).exit_code == 2
