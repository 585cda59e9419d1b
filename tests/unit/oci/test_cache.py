from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from skerry.oci.cache import LayerCache
from skerry.oci.digest import digest_of
from skerry.oci.layer import Entry, File, diff_id

ENTRIES = [File("a", b"a" * 10_000), File("b/c", b"")]


class Maker:
    """Gives entries and counts how often it was asked."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.calls = 0

    def __call__(self) -> Sequence[Entry]:
        self.calls += 1
        return self.entries


def test_layer_is_made_once_for_a_key(tmp_path: Path) -> None:
    make = Maker(ENTRIES)
    first = LayerCache(tmp_path).layer("base", "key", make)
    assert LayerCache(tmp_path).layer("base", "key", make) == first
    assert make.calls == 1
    assert first.diff_id == diff_id(ENTRIES)
    blob = LayerCache(tmp_path).blob(first.descriptor.digest).read_bytes()
    assert (digest_of(blob), len(blob)) == (first.descriptor.digest, first.descriptor.size)


def test_same_content_under_another_key_is_not_packed_again(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path)
    first = cache.layer("base", "key 1", Maker(ENTRIES))
    blob = cache.blob(first.descriptor.digest)
    before = blob.stat().st_ino
    second = cache.layer("again", "key 2", Maker(list(reversed(ENTRIES))))
    assert (second.descriptor, second.label) == (first.descriptor, "again")
    assert blob.stat().st_ino == before


def cut_blob(cache: LayerCache, path: Path) -> None:
    del path
    layer = cache.layer("x", "key", Maker(ENTRIES))
    blob = cache.blob(layer.descriptor.digest)
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")


def empty_pointers(cache: LayerCache, path: Path) -> None:
    cache.layer("x", "key", Maker(ENTRIES))
    for file in path.rglob("*.json"):
        file.write_bytes(b"{}")


def no_blob(cache: LayerCache, path: Path) -> None:
    del path
    cache.blob(cache.layer("x", "key", Maker(ENTRIES)).descriptor.digest).unlink()


@pytest.mark.parametrize("damage", [cut_blob, empty_pointers, no_blob])
def test_damaged_cache_heals(tmp_path: Path, damage: Callable[[LayerCache, Path], None]) -> None:
    cache = LayerCache(tmp_path)
    expected = cache.layer("x", "key", Maker(ENTRIES))
    damage(cache, tmp_path)
    make = Maker(ENTRIES)
    assert cache.layer("x", "key", make) == expected
    assert make.calls == 1
    assert digest_of(cache.blob(expected.descriptor.digest).read_bytes()) == expected.descriptor.digest
