"""The command line and what is written about it say the same: docs/cli.md, and the commands in README.md."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from skerry.cli import output
from skerry.cli.main import COMMANDS, skerry_command

ROOT = Path(__file__).parents[2]
CLI_PAGE = (ROOT / "docs" / "cli.md").read_text()
README = (ROOT / "README.md").read_text()
# Options that every command of a kind has are described once, above the table.
SHARED = {"--hub-dir", "--hub-port", "--hub-ca", "--profile"}
CODES = {0, output.EXIT_FAILED, output.EXIT_USAGE, output.EXIT_INTERRUPTED, *output.EXIT_CODES.values()}


def commands(
    group: click.Group = skerry_command, path: tuple[str, ...] = ("skerry",)
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with how it is called."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


BY_NAME = dict(commands())


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of docs/cli.md."""
    section = CLI_PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def readme_lines() -> list[str]:
    """The skerry commands in README's fenced blocks, continuation lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    stripped = (line.removeprefix("$ ") for line in lines)
    return [line for line in stripped if line.startswith("skerry ")]


def long_options(command: click.Command) -> set[str]:
    return {
        name
        for one in command.params
        if isinstance(one, click.Option)
        for name in one.opts
        if name[:2] == "--"
    }


def test_every_command_is_listed_and_no_other() -> None:
    listed = [re.findall(r"`(skerry [^`]+)`", cells[0])[0] for cells in rows("Commands")]
    assert sorted(listed) == sorted(BY_NAME)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_the_options_of_a_command_are_listed(name: str) -> None:
    (cells,) = [cells for cells in rows("Commands") if f"`{name}`" in cells[0]]
    assert set(re.findall(r"`(--[a-z-]+)`", cells[2])) - SHARED == long_options(BY_NAME[name]) - SHARED
    arguments = [
        one.human_readable_name.upper() for one in BY_NAME[name].params if isinstance(one, click.Argument)
    ]
    assert cells[0].partition("` ")[2].split() == arguments


def test_every_exit_code_is_listed_and_no_other() -> None:
    assert [int(cells[0]) for cells in rows("Exit codes")] == sorted(CODES)


def test_the_list_of_commands_agrees_with_their_help() -> None:
    context = click.Context(skerry_command)
    for name, (_, help_text) in COMMANDS.items():
        command = skerry_command.get_command(context, name)
        assert command is not None
        assert command.help == help_text


def test_readme_shows_commands() -> None:
    assert len(readme_lines()) >= 5


@pytest.mark.parametrize("line", readme_lines())
def test_a_command_in_the_readme_exists_with_its_options(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0], comments=True)
    name = max((n for n in BY_NAME if words[: len(n.split())] == n.split()), key=len, default="")
    assert name, f"there is no such command: {line}"
    rest = words[len(name.split()) :]
    # click itself says what it does not know; nothing is run.
    # Below the root, whose settings it takes over (and click keeps them with the command).
    root = click.Context(skerry_command, **skerry_command.context_settings)
    words = _without_files(BY_NAME[name], rest)
    with BY_NAME[name].make_context(name, words, parent=root) as context:
        assert context.command is BY_NAME[name]


def _without_files(command: click.Command, words: list[str]) -> list[str]:
    """The words with an existing path in place of those that name a reader's own files."""
    paths = {
        name: str(ROOT if one.type.dir_okay and not one.type.file_okay else ROOT / "README.md")
        for one in command.params
        if isinstance(one.type, click.Path) and one.type.exists
        for name in ([*one.opts] if isinstance(one, click.Option) else [one.human_readable_name])
    }
    kept = [
        paths.get(before, word) if before.startswith("--") else word
        for before, word in zip(["", *words], words, strict=False)
    ]
    positional = [one for one in command.params if isinstance(one, click.Argument)]
    if positional and positional[0].human_readable_name in paths and kept and not kept[0].startswith("-"):
        kept[0] = paths[positional[0].human_readable_name]
    return kept
