"""Whatever the moment of a crash, the record names packages that are there and whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skerry.errors import Damaged
from skerry.package.manifest import Package
from skerry.serve.update.shelf import RECORD, Kept, Record, Shelf
from tests.unit.serve.support import make_package
from tests.unit.serve.update.packages import tar_of

# Every file operation of an update is an audit event (sys.audit); the N-th is the last thing a child does.
CRASHES = """
import os, sys
from pathlib import Path
from skerry.serve.update.arrival import part_of, take_in
from skerry.serve.update.shelf import Kept, Record, Shelf
from skerry.serve.update.wish import Wish
import skerry.package.manifest, gzip, tarfile, zipfile

EVENTS = {"open", "shutil.rmtree"} | {f"os.{n}" for n in "rename mkdir remove rmdir scandir listdir".split()}
root, archive, new, old, oldest = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:6]

def update(state):
    shelf = Shelf(state)
    wish = Wish(new, "http://localhost/p")
    part = part_of(shelf, wish)
    part.write_bytes(archive.read_bytes())
    digest = take_in(shelf, wish, part, bytes_max=1 << 20, trusted_keys=None)
    record = Record(Kept(digest, "new"), Kept(old, "old"), wish.key)
    shelf.write(record)
    shelf.sweep(record)

def crash_at(number):
    seen = 0
    def hook(event, args):
        nonlocal seen
        if event in EVENTS and str(args[0]).startswith(str(root)):
            seen += 1
            if seen == number:
                os._exit(9)
    sys.addaudithook(hook)

for number in range(1, 500):
    state = root / f"{number:03}"
    # A state as an update before left it: old serves, oldest was before.
    import shutil
    shutil.copytree(root / "start", state)
    child = os.fork()
    if child == 0:
        crash_at(number)
        update(state)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


@pytest.fixture
def three(tmp_path: Path) -> tuple[str, str, str]:
    """Three packages on disk, by digest."""
    return (
        make_package(tmp_path / "oldest", certificate={"number": 1}),
        make_package(tmp_path / "old", certificate={"number": 2}),
        make_package(tmp_path / "new", certificate={"number": 3}),
    )


def test_after_a_crash_at_any_step_the_old_or_the_new_is_active_and_whole(
    tmp_path: Path, three: tuple[str, str, str]
) -> None:
    oldest, old, new = three
    (tmp_path / "archive").write_bytes(tar_of(tmp_path / "new"))
    start = Shelf(tmp_path / "states" / "start")
    before = Record(Kept(old, "old"), Kept(oldest, "oldest"), "k")
    start.keep(tmp_path / "old", old)
    start.keep(tmp_path / "oldest", oldest)
    start.write(before)
    states = tmp_path / "states"
    subprocess.run(
        [sys.executable, "-c", CRASHES, str(states), str(tmp_path / "archive"), new, old, oldest],
        check=True,
        timeout=120,
    )
    crashes = sorted(path for path in states.iterdir() if path.name != "start")
    found = [_recovered(path) for path in crashes]
    assert len(found) > 30
    assert set(found) == {old, new}
    # Once the new one is active it stays so: there is one moment of the change.
    assert found == sorted(found, key=lambda active: active == new)


def _recovered(state: Path) -> str:
    """What a start finds active; everything the record names must open, everything else be gone."""
    shelf = Shelf(state)
    record = shelf.read()
    shelf.sweep(record)
    assert record.active is not None
    assert record.previous is not None
    for kept in (record.active, record.previous):
        assert Package.open(shelf.directory(kept.package)).digest == kept.package
    assert len(os.listdir(state / "packages")) == 2
    assert [path.name for path in shelf.incoming.iterdir() if path.is_dir()] == []
    return record.active.package


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.read() == Record()
    record = Record(Kept("sha256:aa", "a", key="k"), Kept("sha256:bb", "b", own=True), "h")
    shelf.write(record)
    assert Shelf(tmp_path).read() == record


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": 9}', '{"schema":1,"active":3}', "\0" * 300]
)
def test_a_damaged_record_says_so(tmp_path: Path, text: str) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(Damaged, match="record"):
        shelf.read()
