"""Every parser of foreign bytes, fuzzed briefly: hypothesis from its seeds, then atheris by coverage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import SkerryError
from tests.fuzz.targets import SEEDS, TARGETS, check

ROOT = Path(__file__).parents[2]
RUNS = 2000


@pytest.mark.parametrize("name", TARGETS)
def test_some_seed_of_each_target_is_understood(name: str) -> None:
    """Otherwise a fuzzer would only ever see refusals."""
    understood = 0
    for seed in SEEDS[name]:
        try:
            TARGETS[name](seed)
        except SkerryError:
            continue
        understood += 1
    assert understood


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_any_bytes_and_any_change_of_a_seed_are_answered(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[name]))
    begin = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(begin, len(seed)))
    check(name, seed[:begin] + data.draw(st.binary(max_size=12)) + seed[end:])
    check(name, data.draw(st.binary(max_size=64)))


@pytest.mark.parametrize("name", TARGETS)
def test_coverage_guided(name: str, tmp_path: Path) -> None:
    """``-runs`` counts inputs; the same seed, so that a failure comes again."""
    command = [sys.executable, "-m", "tests.fuzz", name, f"-runs={RUNS}", "-seed=1"]
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS} runs" in done.stderr
