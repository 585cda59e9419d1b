"""Twin patches merge, differ and leave a metadata tree that mirrors the values."""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.twin import (
    STRING_BYTES_MAX,
    Section,
    Twin,
    device_view,
    difference,
    empty_section,
    merge,
    patch_section,
    replace_section,
    same,
    service_view_properties,
    validate_patch,
)
from skerry.errors import InvalidInput, SkerryError, TooLarge

NOON = "2026-01-01T12:00:00.000000Z"
LATER = "2026-01-01T13:00:00.000000Z"
NAMES = st.sampled_from(["a", "b", "c", "d"])
LEAVES = (
    st.booleans()
    | st.integers(0, 2)
    | st.sampled_from([0.0, 1.0, "", "x"])
    | st.lists(st.integers(0, 1), max_size=2)
)
DOCUMENTS = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda c: st.dictionaries(NAMES, c, max_size=3)), max_size=4
)
PATCHES = st.dictionaries(
    NAMES, st.recursive(LEAVES | st.none(), lambda c: st.dictionaries(NAMES, c, max_size=3)), max_size=4
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=3), c, max_size=3),
)


def shape(values: dict[str, Any]) -> dict[str, Any]:
    return {name: shape(value) if isinstance(value, dict) else {} for name, value in values.items()}


def metadata_shape(metadata: dict[str, Any]) -> dict[str, Any]:
    assert metadata["$lastUpdated"]
    assert metadata["$lastUpdatedVersion"] >= 1
    return {name: metadata_shape(child) for name, child in metadata.items() if not name.startswith("$")}


def has_null(document: Any) -> bool:
    return document is None or (isinstance(document, dict) and any(map(has_null, document.values())))


@given(DOCUMENTS, DOCUMENTS)
def test_difference_turns_old_into_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert same(merge(old, difference(old, new)), new)
    assert difference(new, new) == {}


@given(DOCUMENTS, PATCHES)
def test_merge_deletes_nulls_is_idempotent_and_mutates_nothing(
    old: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((old, patch))
    merged = merge(old, patch)
    assert not has_null(merged)
    assert same(merge(merged, patch), merged)
    assert (old, patch) == before


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [  # RFC 7396, appendix A, the rows whose documents are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_as_in_the_rfc(
    document: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merge(document, patch) == expected


@given(st.lists(PATCHES, max_size=5))
def test_metadata_mirrors_the_tree_and_every_patch_is_one_version(patches: list[dict[str, Any]]) -> None:
    section = empty_section(NOON)
    for patch in patches:
        after = patch_section(section, patch, LATER)
        assert after.version == section.version + 1
        assert metadata_shape(after.metadata) == shape(after.values)
        section = after


@given(DOCUMENTS, PATCHES)
def test_replacing_reaches_the_values_by_the_patch_it_names(
    old: dict[str, Any], values: dict[str, Any]
) -> None:
    section = patch_section(empty_section(NOON), old, NOON)
    replaced, patch = replace_section(section, values, LATER)
    assert replaced.version == section.version + 1
    assert same(merge(section.values, patch), replaced.values)
    assert metadata_shape(replaced.metadata) == shape(replaced.values)


def test_only_the_touched_metadata_is_stamped() -> None:
    section = patch_section(empty_section(NOON), {"a": {"b": 1, "c": 2}, "d": 3}, NOON)
    after = patch_section(section, {"a": {"b": 5}}, LATER)
    new, old = (
        {"$lastUpdated": LATER, "$lastUpdatedVersion": 3},
        {"$lastUpdated": NOON, "$lastUpdatedVersion": 2},
    )
    assert after.metadata == {**new, "a": {**new, "b": new, "c": old}, "d": old}


def test_a_section_sent_back_whole_does_not_store_what_the_hub_wrote() -> None:
    assert patch_section(empty_section(NOON), {"a": 1, "$version": 9, "$metadata": {}}, NOON).values == {
        "a": 1
    }


def test_true_is_not_one() -> None:
    assert difference({"a": 1}, {"a": True}) == {"a": True}
    assert difference({"a": [1]}, {"a": [True]}) == {"a": [True]}


def test_views_carry_versions_and_only_the_services_metadata() -> None:
    twin = Twin({}, Section({"a": 1}, {"m": 1}, 4), Section({}, {}, 2), 1, "e")
    assert device_view(twin) == {"desired": {"a": 1, "$version": 4}, "reported": {"$version": 2}}
    assert service_view_properties(twin) == {
        "desired": {"a": 1, "$metadata": {"m": 1}, "$version": 4},
        "reported": {"$metadata": {}, "$version": 2},
    }


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ([], "p"),
        ({"a.b": 1}, "p.a.b"),
        ({"$a": 1}, "p.$a"),
        ({"a": {"b c": 1}}, "p.a.b c"),
        ({"": 1}, "p."),
        ({"a\x00": 1}, "p.a\x00"),
        ({"a" * 1025: 1}, "p." + "a" * 80 + "…"),
        ({"a": "x" * (STRING_BYTES_MAX + 1)}, "p.a"),
        ({"a": "ä" * (STRING_BYTES_MAX // 2 + 1)}, "p.a"),
        ({"a": 2**52 + 1}, "p.a"),
        ({"a": float("nan")}, "p.a"),
        ({"a": [1, None]}, "p.a[1]"),
        ({"a": [{"b": -(2**53)}]}, "p.a[0].b"),
        ({"a": b"x"}, "p.a"),
        ({"a": "\ud800"}, "p.a"),
        (nested(11), "p" + ".a" * 11),
    ],
)
def test_illegal_patches_are_refused_by_path(patch: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_patch(patch, name="p")
    assert caught.value.fields["path"] == path


def test_patches_at_the_limits_are_legal() -> None:
    validate_patch(nested(10))
    validate_patch(
        {"a": "x" * STRING_BYTES_MAX, "b": -(2**52), "c": [1, "x", {}], "n": None, "a" * 1024: 1.5}
    )
    with pytest.raises(TooLarge):
        validate_patch({f"k{i}": "x" * 4000 for i in range(9)})


@given(JSON)
def test_any_json_is_a_patch_or_our_error(document: Any) -> None:
    with suppress(SkerryError):
        validate_patch(document)
        assert isinstance(document, dict)
