"""Events in a file: JSON lines, or Parquet for whoever analyses them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from skerry.errors import Unsupported
from skerry.store.faults import translate_os

Json = dict[str, Any]
Write = Callable[[Sequence[Json]], None]


@contextmanager
def writing(path: Path, form: str) -> Iterator[Write]:
    """What takes events, page by page; the file is there once all are written, and not before.

    Raises Unsupported (pyarrow is not installed), StorageFull, Unavailable.
    """
    partial = path.with_name(f"{path.name}.part")
    begin = _parquet if form == "parquet" else _lines
    try:
        with begin(partial) as write:
            yield write
        partial.replace(path)
    except OSError as error:
        raise translate_os(error, path) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _lines(path: Path) -> Iterator[Write]:
    file: IO[str]
    with path.open("w", encoding="utf-8") as file:

        def write(events: Sequence[Json]) -> None:
            # ASCII: a device may send half a surrogate pair, which UTF-8 cannot carry.
            file.writelines(json.dumps(event) + "\n" for event in events)

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise Unsupported(
            "Parquet needs the package pyarrow, which is not installed here",
            hint="pip install 'skerry[parquet]', or --format jsonl",
            package="pyarrow",
        ) from error
    properties = arrow.map_(arrow.string(), arrow.string())
    schema = arrow.schema(
        [
            ("sequence", arrow.int64()),
            ("enqueued_time", arrow.timestamp("us", tz="UTC")),
            ("device_id", arrow.string()),
            ("module_id", arrow.string()),
            ("source", arrow.string()),
            ("content_type", arrow.string()),
            ("body", arrow.binary()),
            ("properties", properties),
            ("system_properties", properties),
        ]
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:

        def write(events: Sequence[Json]) -> None:
            rows = [_row(event) for event in events]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))

        yield write


def _row(event: Json) -> Json:
    system = event["systemProperties"]
    return {
        "sequence": event["sequence"],
        "enqueued_time": datetime.fromisoformat(event["enqueuedTime"]),
        "device_id": event["deviceId"],
        "module_id": event["moduleId"],
        "source": system.get("iothub-message-source", "Telemetry"),
        "content_type": _text(system.get("contentType")),
        "body": _bytes(event),
        "properties": _pairs(event["properties"]),
        "system_properties": _pairs(system),
    }


def _bytes(event: Json) -> bytes:
    """The bytes of the body; JSON was parsed by the hub, and is written anew."""
    if event.get("bodyEncoding") == "base64":
        return base64.b64decode(event["body"])
    return json.dumps(event["body"], ensure_ascii=False).encode("utf-8", "replace")


def _pairs(properties: Json) -> list[tuple[str, str | None]]:
    return [(str(_text(name)), _text(value)) for name, value in properties.items()]


def _text(value: str | None) -> str | None:
    """Text that UTF-8 can carry."""
    return None if value is None else value.encode("utf-8", "replace").decode()
