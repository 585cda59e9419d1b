"""The schema version of a desired document: major 1 is ours (contract.md §6.2, §6.3)."""

from __future__ import annotations

import re

from skerry.contract.member import Member

MAJOR = 1
# ``lastDesiredStatus.code`` for a document of another major version.
CODE_BAD_SCHEMA = 412
_VERSION = re.compile(r"([0-9]{1,4})(\.[0-9]{1,4}){1,2}")


def read_schema_version(member: Member) -> str:
    """The version text; InvalidInput, with ``code`` 412 when it is well-formed but of another major."""
    text = member.text()
    found = _VERSION.fullmatch(text)
    if not found:
        member.refuse('a version such as "1.1"')
    if int(found[1]) != MAJOR:
        member.refuse(f"a schema version {MAJOR}.x", code=CODE_BAD_SCHEMA)
    return text


def minor(version: str) -> int:
    """The second number of a version that read_schema_version accepted."""
    return int(version.split(".")[1])
