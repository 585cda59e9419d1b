"""``python -m benchmarks [NAME …] [--quick] [--rounds N]``: run benchmarks, print tables, write JSON."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path

import uvloop

from benchmarks.report import Report, table, write
from benchmarks.rounds import Options

NAMES = (
    *("edge_hub", "backlog", "module", "serving", "decode"),
    *("message_path", "model_update", "endurance"),
    *("deploy", "power_cycle", "memory", "hub_connections", "hub_verbs", "registry"),
)
# Half an hour: only when asked for by name.
LONG = ("families",)
ROOT = Path(__file__).parents[1]
Run = Callable[[Options], Coroutine[None, None, Report]]


def main(arguments: list[str]) -> int:
    """Run those asked for, all but the long ones by default.

    The exit code says whether they ran, not how fast they were.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}, {', '.join(LONG)}")
    parser.add_argument(
        "--quick", action="store_true", help="run everything briefly; the figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; the median counts")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="where the JSON goes")
    parser.add_argument("--cache", type=Path, default=ROOT / ".skerry" / "cache", help="downloads")
    parser.add_argument(
        "--peers", action="store_true", help="serving: other model servers in the same run, installed first"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {*NAMES, *LONG}:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    # Beside the results and not in /tmp, which may be memory: some of it measures the disk.
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or NAMES:
        # Resolved now: a benchmark that was not asked for need not have its libraries.
        run: Run = import_module(f"benchmarks.{name}").run
        work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=options.out))
        chosen = Options(
            options.quick, 1 if options.quick else options.rounds, work, options.cache, options.peers
        )
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                report = runner.run(run(chosen))
        finally:
            shutil.rmtree(work)
        sys.stdout.write(table(report) + "\n")
        sys.stdout.write(f"written to {write(report, options.out, quick=options.quick)}\n\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
