"""``skerry completion``: the script that lets a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from skerry.cli import output

SHELLS = ("bash", "zsh", "fish")


WHERE = """\b
bash  skerry completion bash > ~/.local/share/bash-completion/completions/skerry
zsh   skerry completion zsh > "${fpath[1]}/_skerry"
fish  skerry completion fish > ~/.config/fish/completions/skerry.fish
"""


@click.command(epilog=WHERE)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete these commands."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    output.raw(kind(root, {}, "skerry", "_SKERRY_COMPLETE").source().encode())
