"""Images taken from elsewhere than the manifest says: a plant's mirror, or a substitute.

Pure. A published manifest deploys as it is; where its images cannot be had, the device's settings say which
ones stand in for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from skerry.errors import InvalidInput

# What may follow the part of a reference that an entry replaces: a path, a tag or a digest.
BOUNDARIES = "/:@"


def mapped(reference: str, entries: Mapping[str, str]) -> str:
    """The reference to use for ``reference``: the longest fitting entry's, or itself.

    An entry ``registry/path`` → ``elsewhere`` replaces the beginning of a reference up to a ``/``, ``:`` or
    ``@``; one that is the whole reference, with its tag, replaces it whole.
    """
    fitting = [start for start in entries if _fits(reference, start)]
    if not fitting:
        return reference
    longest = max(fitting, key=len)
    return entries[longest] + reference[len(longest) :]


def check(entries: Mapping[str, str]) -> None:
    """Raises InvalidInput naming an entry that cannot be used."""
    for start, end in entries.items():
        for name, text in (("name", start), ("value", end)):
            if not text or text[-1] in BOUNDARIES or any(char.isspace() for char in text):
                raise InvalidInput(
                    f"registry_map: the {name} of {start!r} = {end!r} is no beginning of an image reference",
                    hint='write "mcr.microsoft.com" = "mirror.plant.example/mcr", without a / at the end',
                    field="registry_map",
                    value=text,
                )


def _fits(reference: str, start: str) -> bool:
    return reference == start or (reference.startswith(start) and reference[len(start)] in BOUNDARIES)
