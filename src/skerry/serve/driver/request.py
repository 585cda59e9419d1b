"""The request that a ``@rawhttp`` script gets: what such scripts use of Flask's."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, BinaryIO, Generic, TypeVar
from urllib.parse import parse_qsl

from skerry.serve.http.message import Request
from skerry.serve.multipart import Part, parse_parts

T = TypeVar("T")


class MultiDict(dict[str, T], Generic[T]):
    """A dictionary that gives a key's first value, and all of them by ``getlist``."""

    def __init__(self, pairs: list[tuple[str, T]]) -> None:
        super().__init__(dict(reversed(pairs)))
        # In the order sent: the order of a form's files is the order of a batch.
        first = dict.fromkeys(name for name, _ in pairs)
        for name in first:
            self[name] = self.pop(name)
        self._pairs = pairs

    def getlist(self, key: str) -> list[T]:
        """All values of a key, in order."""
        return [value for name, value in self._pairs if name == key]

    def to_dict(self, flat: bool = True) -> dict[str, Any]:
        """A plain copy; with ``flat`` False each key has the list of its values."""
        return dict(self) if flat else {key: self.getlist(key) for key in self}


class Headers(Mapping[str, str]):
    """Header names in any case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {name.title(): value for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._headers[name.title()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class UploadedFile:
    """One file of a form: readable as a file, with what the client said about it."""

    def __init__(self, part: Part) -> None:
        self.name = part.name
        self.filename = part.filename
        self.content_type = part.content_type
        self.mimetype = part.content_type.partition(";")[0].strip().lower()
        self.content_length = len(part.data)
        self.stream: BinaryIO = io.BytesIO(part.data)

    def __getattr__(self, name: str) -> Any:
        # read, seek, tell, readline …: whatever Pillow and friends want of a file.
        return getattr(self.stream, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stream)

    def save(self, destination: str | os.PathLike[str] | BinaryIO) -> None:
        """Write the content to a path or an open file."""
        if isinstance(destination, str | os.PathLike):
            with open(destination, "wb") as file:
                shutil.copyfileobj(self.stream, file)
        else:
            shutil.copyfileobj(self.stream, destination)


class AMLRequest:
    """A request as scripts know it; the names are Flask's."""

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.path = request.path
        self.query_string = request.query.encode("latin-1")
        self.full_path = f"{request.path}?{request.query}"
        self.headers = Headers(request.headers)
        self.host = request.headers.get("host", "")
        self.base_url = f"http://{self.host}{request.path}"
        self.url = f"{self.base_url}?{request.query}" if request.query else self.base_url
        self.content_type = request.headers.get("content-type", "")
        self.mimetype = self.content_type.partition(";")[0].strip().lower()
        self.content_length = len(request.body)
        self._body = request.body

    @cached_property
    def args(self) -> MultiDict[str]:
        """The query's fields."""
        return MultiDict(parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True))

    @cached_property
    def files(self) -> MultiDict[UploadedFile]:
        """The form's files by field name."""
        return MultiDict([(p.name, UploadedFile(p)) for p in self._parts if p.filename is not None])

    @cached_property
    def form(self) -> MultiDict[str]:
        """The form's other fields."""
        if self.mimetype == "application/x-www-form-urlencoded":
            return MultiDict(parse_qsl(self._body.decode("utf-8", "replace"), keep_blank_values=True))
        return MultiDict(
            [(p.name, p.data.decode("utf-8", "replace")) for p in self._parts if p.filename is None]
        )

    @cached_property
    def values(self) -> MultiDict[str]:
        """The query's and the form's fields."""
        return MultiDict([*self.args.items(), *self.form.items()])

    @property
    def data(self) -> bytes:
        """The body, unless it is a form."""
        forms = ("multipart/form-data", "application/x-www-form-urlencoded")
        return b"" if self.mimetype in forms else self._body

    @property
    def stream(self) -> BinaryIO:
        """The body as a file."""
        return io.BytesIO(self._body)

    @property
    def is_json(self) -> bool:
        return self.mimetype == "application/json" or self.mimetype.endswith("+json")

    @property
    def json(self) -> Any:
        """The body's JSON; ValueError when it is none."""
        return self.get_json()

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body's JSON; None when the content type is another and ``force`` is not set."""
        if not (force or self.is_json):
            return None
        try:
            return json.loads(self._body)
        except ValueError:
            if silent:
                return None
            raise

    def get_data(
        self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False
    ) -> bytes | str:
        """The body, as bytes or as text."""
        return self._body.decode("utf-8", "replace") if as_text else self._body

    @cached_property
    def _parts(self) -> list[Part]:
        return parse_parts(self._body, self.content_type) if self.mimetype == "multipart/form-data" else []
