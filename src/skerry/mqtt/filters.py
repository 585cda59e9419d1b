"""Topic filters of MQTT 3.1.1 §4.7."""

from __future__ import annotations

from skerry.errors import InvalidInput

# MQTT 3.1.1 §4.7.3: a topic or filter is at most this long as UTF-8, from its 16 bit length field.
TOPIC_BYTES_MAX = 65535


def validate_filter(text: str) -> None:
    """Raise InvalidInput unless ``#`` is the whole last level and every ``+`` a whole level."""
    if not text or "\0" in text or len(text.encode("utf-8", "surrogatepass")) > TOPIC_BYTES_MAX:
        raise InvalidInput("a topic filter has 1 to 65535 bytes without NUL", field="filter", value=text[:80])
    levels = text.split("/")
    for place, level in enumerate(levels):
        last = place == len(levels) - 1
        if ("#" in level and (level != "#" or not last)) or ("+" in level and level != "+"):
            raise InvalidInput(
                f"a wildcard stands in the wrong place of {text[:80]!r}",
                hint="'+' fills a whole level, '#' is the whole last level",
                field="filter",
                value=text[:80],
            )


def matches(wanted: str, topic: str) -> bool:
    """Whether a message on ``topic`` is meant by the filter ``wanted``.

    A leading wildcard never means a topic that starts with ``$`` (MQTT 3.1.1 §4.7.2).
    """
    if wanted == topic:
        return True
    if topic.startswith("$") and wanted[:1] in ("#", "+"):
        return False
    levels = topic.split("/")
    parts = wanted.split("/")
    for place, part in enumerate(parts):
        if part == "#":
            return True  # "a/#" means "a" as well
        if place == len(levels):
            return False
        if part not in ("+", levels[place]):
            return False
    return len(parts) == len(levels)
