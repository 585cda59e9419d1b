"""Label files in every form people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.errors import InvalidInput, NotFound
from skerry.model.labels import read_labels
from skerry.package.recipe import Label

PAIR = (Label("0", "good"), Label("1", "bad one"))


def file(folder: Path, text: str) -> Path:
    path = folder / "labels.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "good\nbad one\n",
        "\ufeffgood\r\nbad one\r\n\r\n",
        '["good", "bad one"]',
        '{"0": "good", "1": "bad one"}',
        '{"good": 0, "bad one": 1}',
        '[{"id": "0", "name": "good"}, {"id": "1", "name": "bad one"}]',
    ],
)
def test_every_form_gives_the_same_labels(tmp_path: Path, text: str) -> None:
    assert read_labels(file(tmp_path, text), 2) == PAIR


def test_the_imagenet_class_index_keeps_its_ids(tmp_path: Path) -> None:
    text = '{"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}'
    assert read_labels(file(tmp_path, text), 2) == (
        Label("n01440764", "tench"),
        Label("n01443537", "goldfish"),
    )


def test_another_number_of_labels_names_both_counts(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has 2 labels, the model gives 3 numbers") as caught:
        read_labels(file(tmp_path, "a\nb"), 3)
    assert (caught.value.fields["labels"], caught.value.fields["outputs"]) == (2, 3)


def test_one_sigmoid_output_takes_two_labels(tmp_path: Path) -> None:
    assert len(read_labels(file(tmp_path, "a\nb"), 1)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n\nb", "line 2 is empty"),
        ('["a", ', "not JSON"),
        ('["a", 7]', "label 1 is 7"),
        ('["a", ""]', "label 1"),
        ('{"0": "a", "2": "b"}', "indices 0 to 1; '1'"),
        ('{"a": 0, "b": 0}', "labels"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_labels(file(tmp_path, text), 2)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_labels(tmp_path / "none.txt", 2)
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_labels(tmp_path / "b", 2)
