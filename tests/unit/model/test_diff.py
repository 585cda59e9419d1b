"""Patches from package to package: what they send, that they give the package to the byte, and when not."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from skerry.cli.model import model
from skerry.errors import Damaged, InvalidInput, TooLarge
from skerry.model.diff import delta, diff, patched
from skerry.package.manifest import Package
from skerry.package.patch import apply_delta
from tests.unit.serve.support import RED, colour_model, make_package, picture

BIG = 1 << 24
WEIGHTS = np.random.default_rng(5).normal(0, 0.1, (3, 3, 64, 96)).astype(np.float32)
ANOTHER = np.random.default_rng(6).normal(0, 0.1, WEIGHTS.shape).astype(np.float32)


def large_model(weights: np.ndarray, bias: float = 0.0) -> bytes:
    """The colour model with a tensor of 221 kB, as a frozen base, and one of 4 kB, as a head."""
    made = onnx.load_model_from_string(colour_model())
    head = np.full(1024, 1 + bias, np.float32)
    made.graph.initializer.extend(
        [numpy_helper.from_array(weights, "base"), numpy_helper.from_array(head, "head")]
    )
    data: bytes = made.SerializeToString()
    return data


def package(folder: Path, weights: np.ndarray = WEIGHTS, bias: float = 0.0) -> Package:
    make_package(folder, model=large_model(weights, bias))
    return Package.open(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_new_head_sends_the_head_alone(tmp_path: Path) -> None:
    old, new = package(tmp_path / "old"), package(tmp_path / "new", bias=0.25)
    found = diff(old, new)
    assert found.is_smaller
    assert len(found.patch) < 8_000 < 200_000 < found.whole
    hows = {change.name: change.how for change in found.changes}
    assert (hows["model.onnx"], hows["golden/000.png"], hows["labels.json"]) == ("delta", "same", "same")
    made = patched(old, found.patch, tmp_path / "made")
    assert made.digest == new.digest
    assert contents(made.directory) == contents(new.directory)


def test_weights_trained_on_a_little_are_sent_as_their_difference(tmp_path: Path) -> None:
    moved = (WEIGHTS * np.float32(1 + 2e-7)).astype(np.float32)
    found = diff(package(tmp_path / "old"), package(tmp_path / "new", moved))
    assert found.is_smaller
    assert len(found.patch) < 0.5 * found.whole


def test_weights_that_have_nothing_in_common_are_said_to_be_so(tmp_path: Path) -> None:
    package(tmp_path / "old"), package(tmp_path / "new", ANOTHER)
    arguments = ["diff", str(tmp_path / "old"), str(tmp_path / "new"), "--to", str(tmp_path / "p")]
    done = CliRunner().invoke(model, arguments)
    assert done.exit_code == 0
    assert "send the package; nothing was written" in done.output
    assert not (tmp_path / "p").exists()
    report = json.loads(CliRunner().invoke(model, [*arguments, "--output", "json"]).stdout)
    assert (report["smaller"], report["written"]) == (False, None)
    assert report["patchBytes"] > 0.9 * report["packageBytes"]


def test_the_commands_write_a_patch_and_apply_it(tmp_path: Path) -> None:
    old, new = package(tmp_path / "old"), package(tmp_path / "new", bias=1.0)
    patch = tmp_path / "there" / "1-2.patch"
    arguments = ["diff", str(old.directory), str(new.directory), "--to", str(patch)]
    assert f"written to {patch}" in CliRunner().invoke(model, arguments).output
    done = CliRunner().invoke(
        model, ["patch", str(old.directory), str(patch), "--to", str(tmp_path / "made")]
    )
    assert new.digest in done.output
    assert Package.open(tmp_path / "made").digest == new.digest


def test_a_patch_for_another_package_or_a_broken_one_leaves_nothing(tmp_path: Path) -> None:
    old, new = package(tmp_path / "old"), package(tmp_path / "new", bias=1.0)
    other = package(tmp_path / "other", bias=2.0)
    patch = diff(old, new).patch
    with pytest.raises(Damaged, match="the patch is for"):
        patched(other, patch, tmp_path / "made")
    with pytest.raises(Damaged, match="cannot be read"):
        patched(old, patch[:700], tmp_path / "made")
    with pytest.raises(TooLarge, match="the patch makes more than"):
        patched(old, patch, tmp_path / "made", bytes_max=1000)
    assert not (tmp_path / "made").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old", "other"]


def test_a_delta_is_right_for_any_files() -> None:
    random = np.random.default_rng(1)
    files = [b"", b"abc", random.bytes(5000), large_model(WEIGHTS), large_model(WEIGHTS, 3.0), picture(RED)]
    for old in files:
        for new in files:
            assert apply_delta(old, delta(old, new), bytes_max=BIG) == new


def steps(*listed: object, tail: bytes = b"") -> bytes:
    text = json.dumps(list(listed)).encode()
    return b"SKD1" + len(text).to_bytes(4, "little") + text + tail


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b"", "not one of ours"),
        (b"SKD1\xff\xff\xff\x7f[]", "cut off"),
        (b"SKD1\x02\x00\x00\x00{]", "cannot be read"),
        (steps(["move", 1]), "not known"),
        (steps(["copy", -1, 4]), "not known"),
        (steps(["copy", 1]), "not known"),
        (steps(["xor", 0, 3, 2]), "not known"),
        (steps(["xor", 0, 4, 3]), "not known"),
        (steps(["insert", True]), "not known"),
        (steps(["insert", 4]), "cannot be unpacked|another number"),
        (steps(["copy", 90, 20], tail=lzma.compress(b"")), "behind the end"),
    ],
)
def test_a_broken_delta_is_refused(broken: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said):
        apply_delta(b"x" * 100, broken, bytes_max=BIG)


def test_a_delta_that_claims_too_much_is_refused_before_it_is_made() -> None:
    with pytest.raises(TooLarge):
        apply_delta(b"x" * 100, steps(["insert", 1 << 40]), bytes_max=BIG)


def test_an_archive_that_is_no_patch_is_refused(tmp_path: Path) -> None:
    from tests.unit.serve.update.packages import tar_of

    old = package(tmp_path / "old")
    with pytest.raises(InvalidInput, match="no patch"):
        patched(old, tar_of(old.directory), tmp_path / "made")
