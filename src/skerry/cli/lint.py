"""``skerry lint``: what Azure would refuse of what is meant for a Skerry hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from skerry.cli import output
from skerry.cli.documents import read_json_file
from skerry.contract import azure_lint
from skerry.contract.azure_lint import Finding


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
@click.option("--query", "queries", multiple=True, help="A query; may be repeated.")
@click.option("--target-condition", "targets", multiple=True, help="A target condition; may be repeated.")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table")
def lint(files: tuple[Path, ...], queries: tuple[str, ...], targets: tuple[str, ...], form: str) -> None:
    """Say what an IoT Hub of Azure would refuse, and why; exit code 1 when it would refuse something."""
    if not (files or queries or targets):
        raise click.UsageError("give a file, --query or --target-condition")
    found: list[tuple[str, Finding]] = []
    for file in files:
        found += [(str(file), finding) for finding in azure_lint.lint(read_json_file(file))]
    found += [(text, finding) for text in queries for finding in azure_lint.lint_query(text)]
    found += [(text, finding) for text in targets for finding in azure_lint.lint_target(text)]
    if form == "json":
        output.dump([{"where": where, **asdict(finding)} for where, finding in found])
    else:
        for where, finding in found:
            place = f"{where}: {finding.path}" if finding.path else where
            output.say(f"{place}: {finding.what} ({finding.why})")
        if not found:
            output.say("Azure would take it")
    if found:
        raise SystemExit(output.EXIT_FAILED)
