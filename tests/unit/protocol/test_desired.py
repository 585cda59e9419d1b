from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.twin import merge
from skerry.protocol.desired import Change, DesiredFollower


def follower_at(desired: dict[str, Any]) -> DesiredFollower:
    follower = DesiredFollower()
    follower.await_twin()
    follower.twin(desired)
    return follower


def test_the_first_twin_is_handed_on_whole() -> None:
    follower = DesiredFollower()
    follower.await_twin()
    assert follower.twin({"a": 1, "$version": 4}) == [({"a": 1, "$version": 4}, 4)]


def test_a_twin_that_did_not_change_meanwhile_is_not_handed_on() -> None:
    follower = follower_at({"a": 1, "$version": 4})
    follower.await_twin()
    assert follower.twin({"a": 1, "$version": 4}) == []


def test_what_was_missed_arrives_as_one_patch_with_nulls_for_what_went() -> None:
    follower = follower_at({"a": 1, "b": {"c": 1, "d": 2}, "$version": 4})
    follower.await_twin()
    assert follower.twin({"b": {"c": 1, "d": 3}, "$version": 7}) == [
        ({"a": None, "b": {"d": 3}, "$version": 7}, 7)
    ]


def test_a_device_made_anew_counts_from_one_again() -> None:
    follower = follower_at({"a": 1, "$version": 9})
    follower.await_twin()
    assert follower.twin({"$version": 1}) == [({"a": None, "$version": 1}, 1)]


def test_a_gap_in_the_versions_asks_for_the_twin() -> None:
    follower = follower_at({"$version": 1})
    assert follower.notified({"a": 1}, 2) == [({"a": 1, "$version": 2}, 2)]
    assert follower.notified({"a": 3}, 4) is None
    assert follower.twin({"a": 3, "b": 1, "$version": 4}) == [({"a": 3, "b": 1, "$version": 4}, 4)]


def test_a_repeated_notification_is_dropped() -> None:
    follower = follower_at({"$version": 2})
    assert follower.notified({"a": 1}, 2) == []


CHANGES = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 3), min_size=1), max_size=12
)


@given(CHANGES, st.data())
def test_whatever_is_missed_the_device_ends_where_the_twin_is(
    patches: list[dict[str, Any]], data: st.DataObject
) -> None:
    follower, seen, versions = DesiredFollower(), dict[str, Any](), list[int]()
    document: dict[str, Any] = {}

    def hand_on(changes: list[Change]) -> None:
        for patch, version in changes:
            versions.append(version)
            seen.update(merge(seen, {k: v for k, v in patch.items() if k != "$version"}))
            for name in [name for name, value in patch.items() if value is None]:
                seen.pop(name, None)

    follower.await_twin()
    hand_on(follower.twin({"$version": 1}))
    for version, patch in enumerate(patches, 2):
        document = merge(document, patch)
        if data.draw(st.booleans()):
            changes = follower.notified({**patch, "$version": version}, version)
            if changes is None:
                changes = follower.twin({**document, "$version": version})
            hand_on(changes)
    follower.await_twin()
    hand_on(follower.twin({**document, "$version": len(patches) + 1}))
    assert seen == document
    assert versions == sorted(set(versions))
