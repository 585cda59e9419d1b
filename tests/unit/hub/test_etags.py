import pytest

from skerry.hub import etags


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("*", "*"),
        ('"*"', "*"),
        ('"abc="', "abc="),
        ("abc=", "abc="),
        ('W/"a"', "a"),
    ],
)
def test_an_etag_is_read_with_and_without_quotes(header: str | None, expected: str | None) -> None:
    assert etags.parse(header) == expected


def test_any_matches_everything_and_an_etag_only_itself() -> None:
    assert etags.matches("*", "a")
    assert etags.matches("a", "a")
    assert not etags.matches("a", "b")
