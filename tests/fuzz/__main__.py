"""``python -m tests.fuzz NAME [libFuzzer options]``: fuzz one parser, guided by coverage.

``-runs=N`` stops after N inputs, ``-max_total_time=S`` after S seconds; without either it goes on until it
finds something. A crash leaves its input in a file, to become a test.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["skerry"]):
    from tests.fuzz.targets import SEEDS, TARGETS, WORDS, check


def main(arguments: list[str]) -> None:
    name, *options = arguments or [""]
    if name not in TARGETS:
        sys.exit(f"there is no target {name!r}; targets: {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for number, seed in enumerate(SEEDS[name]):
            (corpus / f"seed-{number}").write_bytes(seed)
        if name in WORDS:
            words.write_text("".join(f'"{word}"\n' for word in WORDS[name]))
            options.append(f"-dict={words}")
        atheris.Setup([name, *options, "-timeout=20", str(corpus)], lambda data: check(name, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
