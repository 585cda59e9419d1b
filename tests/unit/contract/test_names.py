"""Ids are legal once they exist."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import InvalidInput

IDS = st.from_regex(r"[A-Za-z0-9_.\-:]{1,128}", fullmatch=True)


@pytest.mark.parametrize(
    "text", ["", "a b", "a/b", "a+b", "a#b", "é", "a" * 129, "a\n", "$edgeFoo", "$edgeAgent"]
)
def test_illegal_device_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        DeviceId(text)
    assert caught.value.fields["field"] == "deviceId"
    assert caught.value.hint


def test_modules_may_be_the_two_system_modules() -> None:
    assert ModuleId("$edgeAgent") == "$edgeAgent"
    with pytest.raises(InvalidInput):
        ModuleId("$edgeOther")


@given(IDS, st.none() | IDS | st.sampled_from(["$edgeAgent", "$edgeHub"]))
def test_identity_reads_back_from_its_client_id(device: str, module: str | None) -> None:
    identity = Identity(DeviceId(device), None if module is None else ModuleId(module))
    assert Identity.parse(identity.client_id) == identity
    assert identity.resource("hub") == "hub" + identity.path


@given(st.text(max_size=40))
def test_any_text_is_a_client_id_or_invalid_input(text: str) -> None:
    with suppress(InvalidInput):
        assert Identity.parse(text).client_id == text


def test_identities_sort_with_the_device_before_its_modules() -> None:
    wanted = ["a", "a/$edgeHub", "a/m", "b"]
    assert [i.client_id for i in sorted(Identity.parse(t) for t in reversed(wanted))] == wanted
