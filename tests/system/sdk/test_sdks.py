"""Microsoft's SDKs, unmodified, as clients of our hub and edge hub.

They insist on ports 8883 and 443, so each ``check_*.py`` here is a pytest run of its own in a private
network. By hand: ``python -m tests.support.namespace python -m pytest tests/system/sdk/check_device.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import namespace

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
TIMEOUT_S = 110.0


@pytest.mark.parametrize("name", sorted(file.name for file in HERE.glob("check_*.py")))
def test_the_sdk_works_in_a_private_network(name: str) -> None:
    done = namespace.run([sys.executable, "-m", "pytest", str(HERE / name)], timeout_s=TIMEOUT_S)
    assert done.returncode == 0, f"{name} failed; its report is above"
