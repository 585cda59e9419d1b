"""Microsoft's Node SDK, installed once from the lock file beside this into the build folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent / "node"
BUILD = Path(__file__).parents[3] / "build" / "npm"
INSTALL_TIMEOUT_S = 100.0


def install() -> None:
    """Have the packages of the lock file in ``modules()``; needs a registry only when the lock changed."""
    for program in ("node", "npm"):
        assert shutil.which(program), f"{program} is not installed: apt install nodejs npm"
    wanted = (HERE / "package-lock.json").read_bytes()
    installed = BUILD / "installed.json"
    if installed.exists() and installed.read_bytes() == wanted:
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, BUILD / name)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=BUILD,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"npm could not install the SDK: {done.stderr or done.stdout}"
    # Last: a folder with this file is a complete one.
    installed.write_bytes(wanted)


def modules() -> Path:
    """Where ``require`` finds them (NODE_PATH)."""
    return BUILD / "node_modules"
