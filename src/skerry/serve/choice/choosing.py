"""What a device runs of a package: what is set, what it measured once, or what the build chose."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from skerry.errors import NotFound, SkerryError, Unsupported
from skerry.package.candidate import ENGINES, PRECISIONS, Candidate
from skerry.package.manifest import Package
from skerry.serve.backends.engines import installed
from skerry.serve.choice.rule import ranked, thread_counts
from skerry.serve.choice.selection import BUILD, CACHE, MEASURED, SET, Selection, Way

if TYPE_CHECKING:
    from skerry.serve.choice.record import Found

log = logging.getLogger(__name__)

NOWHERE = "no probe: SKERRY_STATE_DIR is not set, so nothing that it finds could be kept"
OFF = "no probe: SKERRY_PROBE=off"
DIED = "no probe: the module ended during the last one"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say: the CPUs to use, whether that is for good, one candidate's name, and where
    results are kept (None: nowhere)."""

    threads: int
    fixed: bool = False
    candidate: str = ""
    probe: bool = True
    state: Path | None = None


def select(package: Package, wanted: Wanted, *, before: Callable[[Path], None] | None = None) -> Selection:
    """The ways to run the package here, best first; ``before`` is called with a model file before a probe.

    Blocks: a first time for ``trial.PROBE_LIMIT_S`` at most, then not. Unsupported when nothing of it runs
    here, NotFound when the candidate that is set is not in it.
    """
    able, refused = runnable(package.candidates)
    if wanted.candidate:
        return _named(package, able, refused, wanted)
    if not able:
        raise _nothing_runs(package, refused)
    plain = Selection(tuple(Way(one, wanted.threads) for one in able), BUILD, refused=refused)
    counts = (wanted.threads,) if wanted.fixed else thread_counts(wanted.threads)
    ways = [Way(one, count) for count in counts for one in able]
    if len(ways) == 1:
        return plain
    if not wanted.probe or wanted.state is None:
        return replace(plain, reason=NOWHERE if wanted.probe else OFF)
    return _measured(package, ways, plain, wanted, wanted.state, before)


def runnable(candidates: Sequence[Candidate]) -> tuple[list[Candidate], dict[str, str]]:
    """Those that this image has an engine for, and why not the others."""
    refused: dict[str, str] = {}
    for one in candidates:
        if one.engine not in ENGINES or one.precision not in PRECISIONS:
            refused[one.name] = f"this Skerry knows no {one.engine} in {one.precision}"
        elif not installed(one.engine):
            refused[one.name] = f"{one.engine} is not in this image"
    return [one for one in candidates if one.name not in refused], refused


def _nothing_runs(package: Package, refused: Mapping[str, str]) -> Unsupported:
    reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
    return Unsupported(
        f"nothing of {package.name} runs here: {reasons}",
        hint="build the image from this package, or the package with --ship all",
    )


def _named(
    package: Package, able: Sequence[Candidate], refused: Mapping[str, str], wanted: Wanted
) -> Selection:
    found = next((one for one in able if one.name == wanted.candidate), None)
    if found is None:
        why = refused.get(wanted.candidate, "the package does not offer it")
        raise NotFound(
            f"SKERRY_CANDIDATE={wanted.candidate[:50]}: {why}",
            hint=f"one of {', '.join(one.name for one in package.candidates)}",
            field="SKERRY_CANDIDATE",
        )
    return Selection((Way(found, wanted.threads),), SET, f"SKERRY_CANDIDATE={found.name}", refused=refused)


def _measured(
    package: Package,
    ways: Sequence[Way],
    plain: Selection,
    wanted: Wanted,
    state: Path,
    before: Callable[[Path], None] | None,
) -> Selection:
    # Imported here: a module that has nothing to choose needs none of it.
    from skerry.serve.choice.machine import fingerprint
    from skerry.serve.choice.record import Found, ProbeRecord

    engines = sorted({way.candidate.engine for way in ways})
    record = ProbeRecord(state, fingerprint(wanted.threads, engines), package.digest)
    found, source = record.read(), CACHE
    if found is None:
        from skerry.serve.choice.trial import try_ways

        if before is not None:
            for file in sorted({way.candidate.file for way in ways}):
                before(package.directory / file)
        if problem := record.writable():
            log.warning("no probe: %s", problem)
            return replace(plain, reason=f"no probe: {problem}")
        try:
            trial = try_ways(package, ways)
            found, source = Found(tuple(trial.timings), trial.refused), MEASURED
            record.write(found)
        except SkerryError as exc:
            # The module lives: the next start may try again.
            record.forget()
            log.warning("no probe: %s", exc)
            return replace(plain, reason=f"no probe: {' '.join(str(exc).split())}")
    elif not found.complete:
        return replace(plain, reason=DIED)
    return _from(found, source, package, plain)


def _from(found: Found, source: str, package: Package, plain: Selection) -> Selection:
    refused = {**plain.refused, **found.refused}
    left = [way for way in plain.ways if way.candidate.name not in refused]
    if not left:
        raise _nothing_runs(package, refused)
    best = ranked([way.candidate for way in left], found.timings)
    timed = {way.candidate.name for way in best}
    rest = [way for way in left if way.candidate.name not in timed]
    shown = ", ".join(f"{each.name} {each.p50_ms} ms on {each.threads}" for each in found.timings)
    log.info("%s: %s (%s)", source, (*best, *rest)[0], shown)
    reason = "" if best else "the probe measured nothing in its time"
    return Selection((*best, *rest), source, reason, found.timings, refused)
