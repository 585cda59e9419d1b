"""The torch file, read without torch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skerry.errors import InvalidInput
from skerry.sim.scenarios.torch_file import read_state_dict
from tests.unit.model.lite0_random import torch_file

TENSORS = {
    "conv.weight": np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5),
    "bn.bias": np.arange(7, dtype=np.float32),
}


def test_strided_tensors_come_back_as_they_were() -> None:
    read = read_state_dict(torch_file(TENSORS))
    assert list(read) == list(TENSORS)
    for name, array in TENSORS.items():
        assert np.array_equal(read[name], array)
        assert read[name].flags.c_contiguous


def test_truncated_and_foreign_files_are_refused() -> None:
    whole = torch_file(TENSORS)
    for length in range(0, len(whole), 13):
        with pytest.raises(InvalidInput):
            read_state_dict(whole[:length])
    with pytest.raises(InvalidInput):
        read_state_dict(b"PK\x03\x04 a zip")


def test_a_pickle_that_calls_something_is_refused() -> None:
    evil = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
    with pytest.raises(InvalidInput, match=r"refused os\.system"):
        read_state_dict(evil)
    with pytest.raises(InvalidInput):
        read_state_dict(pickle.dumps(print))
