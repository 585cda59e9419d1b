"""The command tree: it loads when asked, helps, and says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import click
import pytest
from click.testing import CliRunner

from skerry.cli.edge import _describe
from skerry.cli.main import COMMANDS, skerry_command


def paths(group: click.Group = skerry_command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group, by the words that call it."""
    found = [path]
    for name in group.list_commands(context := click.Context(group)):
        command = group.get_command(context, name)
        found += paths(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", paths(), ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_helps(path: Sequence[str], option: str) -> None:
    done = CliRunner().invoke(skerry_command, [*path, option])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")
    # A sentence about itself, not only options.
    assert len(done.output.partition("\n\n")[2].strip().splitlines()[0]) > 10


def test_an_unknown_command_is_a_usage_error() -> None:
    done = CliRunner().invoke(skerry_command, ["fly"])
    assert done.exit_code == 2
    assert "No such command 'fly'" in done.output


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_help_imports_no_command() -> None:
    done = run(
        "import sys\n"
        "from skerry.cli.main import skerry_command\n"
        "skerry_command(['--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'onnx', 'httpx', 'starlette'} & set(sys.modules)))\n"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_role_that_is_not_installed_is_named_and_the_others_work() -> None:
    hide = "import sys\nsys.modules['h5py'] = None\nfrom skerry.cli.main import main\n"
    missing = run(f"{hide}sys.argv = ['skerry', 'model', 'build']\nmain()")
    assert missing.returncode == 9, missing.stderr
    assert "skerry model needs the package h5py" in missing.stderr
    assert "pip install 'skerry[all]'" in missing.stderr
    other = run(f"{hide}sys.argv = ['skerry', 'edge', '--help']\nmain()")
    assert other.returncode == 0, other.stderr


def test_help_lists_all_commands() -> None:
    text = CliRunner().invoke(skerry_command, ["--help"]).output
    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"runtimeStatus": {"status": "running"}, "startTime": None}, "Up an unknown time"),
        (
            {
                "runtimeStatus": {"status": "unknown", "description": "waiting: there is no image"},
                "exitStatus": {"exitTime": "0001-01-01T00:00:00Z", "statusCode": "0"},
            },
            "waiting: there is no image",
        ),
        ({"runtimeStatus": {"status": "stopped", "description": ""}}, "Stopped"),
    ],
    ids=["running", "never made", "never ended"],
)
def test_a_module_is_described_by_what_is_known_of_it(status: dict[str, object], said: str) -> None:
    assert _describe(status) == said


def test_a_module_that_ended_is_described_by_how_long_ago() -> None:
    ended = {"exitTime": "2020-01-01T00:00:00Z", "statusCode": "137"}
    said = _describe({"runtimeStatus": {"status": "failed"}, "exitStatus": ended})
    assert said.startswith("Failed (137) ")
    assert said.endswith(" days ago")
