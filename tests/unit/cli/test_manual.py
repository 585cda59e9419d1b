"""The help of a command with many options reads like a manual page."""

from __future__ import annotations

import re

from click.testing import CliRunner

from skerry.cli.main import skerry_command
from skerry.cli.model import HEADINGS, NOTES, model


def test_the_build_has_every_option_once_under_its_heading() -> None:
    done = CliRunner().invoke(skerry_command, ["model", "build", "--help"])
    assert done.exit_code == 0, done.output
    headings = re.findall(r"^([A-Z][A-Za-z ]+):$", done.output, re.MULTILINE)
    assert headings == [*HEADINGS, "Other options", *NOTES]
    options = [param.opts[0] for param in model.commands["build"].params if param.param_type_name == "option"]
    listed = done.output.partition("The model:")[2]
    for option in options:
        assert len(re.findall(rf"^  {option}\b", listed, re.MULTILINE)) == 1, option


def test_every_option_of_the_build_says_what_it_does() -> None:
    for param in model.commands["build"].params:
        assert param.param_type_name == "argument" or getattr(param, "help", None), param.name
