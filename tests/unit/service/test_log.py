"""Log lines and what they hide."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from skerry.errors import InvalidInput
from skerry.service.log import configure, redact

SECRET = "c2VjcmV0LXNlY3JldA=="


@pytest.mark.parametrize(
    "text",
    [
        f"HostName=h;DeviceId=d;SharedAccessKey={SECRET}",
        f"SharedAccessKeyName=owner;SharedAccessKey={SECRET};HostName=h",
        f'{{"SharedAccessKey": "{SECRET}"}}',
        f"SharedAccessSignature sr=h%2Fdevices%2Fd&sig={SECRET}&se=1700000000",
        f"HostName=h;SharedAccessSignature=SharedAccessSignature sr=h&sig={SECRET}&se=17",
        f"https://h/x?sv=1&sig={SECRET}",
        f"password={SECRET}",
        f'{{"password": "{SECRET}", "user": "x"}}',
        f"{{'primaryKey': '{SECRET}', 'secondaryKey': '{SECRET}'}}",
        f"Authorization: Bearer {SECRET}",
        f"pulling from https://user:{SECRET}@registry/v2",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    assert SECRET not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "HostName=h;DeviceId=d;SharedAccessKeyName=owner",
        "signature does not match; assign=1",
        "device a:b connected from 10.0.0.1:8883",
        "password is wrong",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


def test_the_rest_of_a_line_with_a_secret_stays() -> None:
    assert redact(f"a SharedAccessKey={SECRET};HostName=h b") == "a SharedAccessKey=***;HostName=h b"
    assert redact(f"sr=h&sig={SECRET}&se=17") == "sr=h&sig=***&se=17"


Configured = Callable[..., io.StringIO]


@pytest.fixture
def configured() -> Iterator[Configured]:
    undo: list[Callable[[], None]] = []

    def start(level: str, json: bool) -> io.StringIO:
        stream = io.StringIO()
        undo.append(configure(level, json, stream=stream))
        return stream

    yield start
    for restore in reversed(undo):
        restore()


def fail() -> None:
    logger = logging.getLogger("skerry.hub.twins")
    logger.debug("not shown")
    logger.info("key %s", {"password": SECRET})
    try:
        raise ValueError(f"SharedAccessKey={SECRET}")
    except ValueError:
        logger.exception("failed with sig=%s", SECRET)


def test_plain_lines_are_read_by_people(configured: Configured) -> None:
    stream = configured("info", False)
    fail()
    first, second, *trace = stream.getvalue().splitlines()
    assert first.endswith("Z INFO hub.twins: key {'password': '***'}")
    assert second.endswith("Z ERROR hub.twins: failed with sig=***")
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "ValueError: SharedAccessKey=***"


def test_json_lines_are_read_by_machines(configured: Configured) -> None:
    stream = configured("info", True)
    fail()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert set(first) == {"time", "level", "logger", "message"}
    assert first["message"] == "key {'password': '***'}"
    assert second["level"] == "error"
    assert SECRET not in second["trace"]
    assert second["trace"].startswith("Traceback")


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(InvalidInput, match="loud"):
        configure("loud")
