"""Twins between two contacts with the hub converge, whatever happened meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.twin import merge
from skerry.edge.hub.twin_cache import UNKNOWN_TWIN, CachedTwin

names = st.sampled_from("abc")
leaves = st.one_of(st.integers(0, 3), st.booleans())
documents = st.recursive(
    st.dictionaries(names, leaves, max_size=3),
    lambda inner: st.dictionaries(names, st.one_of(leaves, inner), max_size=3),
    max_leaves=6,
)
patches = st.recursive(
    st.dictionaries(names, st.one_of(st.none(), leaves), max_size=3),
    lambda inner: st.dictionaries(names, st.one_of(st.none(), leaves, inner), max_size=3),
    max_leaves=6,
)


def from_hub(desired: dict[str, Any], reported: dict[str, Any], version: int = 3) -> dict[str, Any]:
    return {"desired": {**desired, "$version": version}, "reported": {**reported, "$version": version}}


@given(documents, st.lists(patches, max_size=4))
def test_the_pending_patch_brings_the_hub_to_what_was_reported(
    start: dict[str, Any], offline: list[dict[str, Any]]
) -> None:
    twin = UNKNOWN_TWIN.synced(from_hub({}, start))
    expected = start
    for patch in offline:
        twin, expected = twin.reporting(patch), merge(expected, patch)
    assert twin.reported == expected
    assert merge(start, twin.pending) == expected
    confirmed = twin.confirming(twin.pending, 9)
    assert confirmed.pending == {}


@given(documents, documents, patches)
def test_what_was_reported_before_the_first_contact_wins(
    theirs: dict[str, Any], desired: dict[str, Any], patch: dict[str, Any]
) -> None:
    twin = UNKNOWN_TWIN.reporting(patch).synced(from_hub(desired, theirs))
    assert twin.desired == desired
    assert merge(theirs, twin.pending) == twin.reported


@given(documents, documents)
def test_a_client_is_told_exactly_what_changed(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = UNKNOWN_TWIN.synced(from_hub(old, {}, 3))
    after = before.synced(from_hub(new, {}, 4))
    change = before.desired_change(after)
    assert change is not None
    assert change.pop("$version") == 4
    assert merge(old, change) == new
    assert after.desired_change(after) is None


def test_patches_apply_only_one_after_the_other() -> None:
    twin = UNKNOWN_TWIN.synced(from_hub({"a": 1}, {}, 3))
    assert not UNKNOWN_TWIN.follows(1)
    assert not twin.follows(3)
    assert not twin.follows(5)
    assert twin.follows(4)
    assert twin.patched({"a": None, "b": 2, "$version": 4}, 4).view()["desired"] == {"b": 2, "$version": 4}


@given(documents, documents, patches)
def test_it_reads_back(desired: dict[str, Any], reported: dict[str, Any], patch: dict[str, Any]) -> None:
    twin = UNKNOWN_TWIN.synced(from_hub(desired, reported)).reporting(patch)
    assert CachedTwin.from_json(twin.to_json()) == twin
