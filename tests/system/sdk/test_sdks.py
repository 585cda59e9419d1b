"""Microsoft's SDKs, unmodified, as clients of our hub and edge hub.

They insist on ports 8883 and 443, so each ``check_*.py`` here is a pytest run of its own in a private
network. By hand: ``python -m tests.support.namespace python -m pytest tests/system/sdk/check_device.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import namespace
from tests.system.sdk import npm

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
# A client that hangs is one failed check with a report, not a run cut short.
CHECK_TIMEOUT_S = 40
# These also run Microsoft's Node SDKs.
NODE_CHECKS = ("check_files.py", "check_node.py", "check_node_service.py")
TIMEOUT_S = 110.0


@pytest.mark.parametrize("name", sorted(file.name for file in HERE.glob("check_*.py")))
def test_the_sdk_works_in_a_private_network(name: str, tmp_path: Path) -> None:
    if name in NODE_CHECKS:
        npm.install()  # here, as there is no registry in a private network
    # A folder of its own: two pytest runs that tidy one up get in each other's way.
    options = [f"--timeout={CHECK_TIMEOUT_S}", f"--basetemp={tmp_path / 'inside'}"]
    # The sockets that paho leaves may be collected after the last test, where no mark of a test counts.
    options += ["-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    command = [sys.executable, "-m", "pytest", *options, str(HERE / name)]
    done = namespace.run(command, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, f"{name} failed; its report is above"
