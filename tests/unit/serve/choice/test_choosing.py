"""A device runs what it found fastest itself, once; without a place to keep that, what the build chose."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from skerry.errors import NotFound, StorageFull, Unsupported
from skerry.package.candidate import Candidate
from skerry.package.manifest import GoldenSample, Package, write_package
from skerry.serve.choice import trial
from skerry.serve.choice.choosing import DIED, NOWHERE, OFF, Wanted, select
from skerry.serve.choice.machine import fingerprint
from skerry.serve.choice.record import Found, ProbeRecord
from skerry.serve.choice.selection import BUILD, CACHE, MEASURED, SET, Timed
from skerry.serve.choice.trial import try_ways
from tests.unit.model.small_package import CANDIDATES, write_small_package
from tests.unit.serve.support import RECIPE, RED, colour_model, expected, picture

NAMES = [candidate.name for candidate in CANDIDATES]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    write_small_package(tmp_path / "package")
    return Package.open(tmp_path / "package")


def of(tmp_path: Path, *candidates: Candidate) -> Package:
    """The colour model with these candidates."""
    write_package(
        tmp_path / "own",
        name="colours",
        model={"model.onnx": colour_model()},
        recipe=RECIPE,
        golden=[GoldenSample(picture(RED), expected(picture(RED)))],
        certificate={},
        candidates=candidates,
    )
    return Package.open(tmp_path / "own")


def test_a_first_start_measures_and_the_next_one_remembers(tmp_path: Path, package: Package) -> None:
    wanted = Wanted(threads=2, state=tmp_path / "state")
    first = select(package, wanted)
    assert (first.source, dict(first.refused)) == (MEASURED, {})
    assert sorted(way.candidate.name for way in first.ways) == sorted(NAMES)
    assert {timed.name for timed in first.timings} == set(NAMES)
    assert all(timed.p50_ms > 0 for timed in first.timings)
    again = select(package, wanted)
    assert again.source == CACHE
    assert (again.ways, again.timings) == (first.ways, first.timings)
    told = again.to_json()
    assert told["candidate"] == first.ways[0].candidate.name
    assert told["p50Ms"].keys() == set(NAMES)


def test_what_was_measured_here_beats_what_the_build_chose(tmp_path: Path, package: Package) -> None:
    engines = sorted({candidate.engine for candidate in CANDIDATES})
    record = ProbeRecord(tmp_path, fingerprint(2, engines), package.digest)
    timings = tuple(Timed(name, 2, ms) for name, ms in zip(NAMES, (9.0, 2.0, 5.0), strict=True))
    record.write(Found(timings, {}))
    found = select(package, Wanted(threads=2, state=tmp_path))
    assert [way.candidate.name for way in found.ways] == ["onnx-int8", "openvino-fp32", "onnx-fp32"]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [(Wanted(threads=2), NOWHERE), (Wanted(threads=2, probe=False, state=Path("never")), OFF)],
)
def test_without_a_place_or_a_wish_to_probe_the_builds_choice_stands(
    package: Package, wanted: Wanted, reason: str
) -> None:
    found = select(package, wanted)
    assert (found.source, found.reason, found.ways[0].candidate) == (BUILD, reason, CANDIDATES[0])
    assert (found.ways[0].threads, found.timings) == (2, ())


def test_a_state_folder_that_cannot_be_written_is_said_and_nothing_is_measured(
    tmp_path: Path, package: Package
) -> None:
    (tmp_path / "file").write_text("")
    found = select(package, Wanted(threads=2, state=tmp_path / "file" / "state"))
    assert (found.source, found.timings) == (BUILD, ())
    assert found.reason.startswith("no probe: the probe's result: ")


def test_a_probe_that_the_module_died_of_is_not_begun_again(tmp_path: Path, package: Package) -> None:
    engines = sorted({candidate.engine for candidate in CANDIDATES})
    ProbeRecord(tmp_path, fingerprint(2, engines), package.digest).write(Found(complete=False))
    found = select(package, Wanted(threads=2, state=tmp_path))
    assert (found.source, found.reason) == (BUILD, DIED)


def test_a_probe_that_cannot_start_is_tried_again_at_the_next_start(
    tmp_path: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted(threads=2, state=tmp_path / "state")
    with monkeypatch.context() as broken:
        broken.setattr(trial, "CHILD_MODULE", "skerry.no.such.module")
        found = select(package, wanted)
        assert found.source == BUILD
        assert found.reason.startswith("no probe: the probe failed: ")
    assert select(package, wanted).source == MEASURED


def test_too_little_memory_for_a_probe_is_said_and_leaves_nothing(tmp_path: Path, package: Package) -> None:
    def full(model: Path) -> None:
        raise StorageFull(f"no room for {model.name}")

    wanted = Wanted(threads=2, state=tmp_path / "state")
    with pytest.raises(StorageFull, match="no room for model"):
        select(package, wanted, before=full)
    assert select(package, wanted).source == MEASURED


def test_a_damaged_record_is_measured_again(tmp_path: Path, package: Package) -> None:
    wanted = Wanted(threads=1, fixed=True, state=tmp_path)
    select(package, wanted)
    [path] = (tmp_path / "probes").iterdir()
    path.write_text(json.dumps({"schema": 1}))
    assert select(package, wanted).source == MEASURED


def test_one_way_to_run_needs_no_probe(tmp_path: Path) -> None:
    package = of(tmp_path, CANDIDATES[0])
    found = select(package, Wanted(threads=1, state=tmp_path / "state"))
    assert (found.source, found.reason) == (BUILD, "")
    assert not (tmp_path / "state").exists()


def test_a_candidate_may_be_set_by_name(package: Package) -> None:
    found = select(package, Wanted(threads=2, candidate="openvino-fp32"))
    assert (found.source, [str(way) for way in found.ways]) == (SET, ["openvino-fp32 on 2 threads"])
    with pytest.raises(NotFound, match="SKERRY_CANDIDATE=other: the package does not offer it"):
        select(package, Wanted(threads=2, candidate="other"))


def test_what_a_later_skerry_knows_is_passed_over_with_a_reason(tmp_path: Path) -> None:
    later = Candidate("npu-int4", "npu", "int4", "model.onnx", 0.1)
    found = select(of(tmp_path, later, CANDIDATES[0]), Wanted(threads=1))
    assert dict(found.refused) == {"npu-int4": "this Skerry knows no npu in int4"}
    assert [way.candidate for way in found.ways] == [CANDIDATES[0]]
    with pytest.raises(Unsupported, match="npu-int4: this Skerry knows no npu"):
        select(of(tmp_path, later), Wanted(threads=1))


def test_a_candidate_that_does_not_load_is_refused_by_the_probe(tmp_path: Path) -> None:
    wrong = Candidate("litert-fp32", "litert", "fp32", "model.onnx", 0.1)
    found = select(of(tmp_path, wrong, CANDIDATES[0]), Wanted(threads=1, state=tmp_path / "state"))
    assert [way.candidate for way in found.ways] == [CANDIDATES[0]]
    assert "does not load" in found.refused["litert-fp32"]


def test_an_engine_that_crashes_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "dying.py"
    dying.write_text(
        "import os, sys\n"
        "from skerry.serve.backends import engines\n"
        "real = engines.open_engine\n"
        "def open_engine(engine, *given, **more):\n"
        "    if engine == 'openvino':\n"
        "        os.abort()\n"
        "    return real(engine, *given, **more)\n"
        "engines.open_engine = open_engine\n"
        "from skerry.serve.choice.child import main\n"
        "sys.exit(main())\n"
    )
    monkeypatch.setattr(trial, "CHILD_MODULE", "dying")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    write_small_package(tmp_path / "package")
    found = select(Package.open(tmp_path / "package"), Wanted(threads=1, state=tmp_path / "state"))
    assert found.refused["openvino-fp32"].startswith("its engine crashed with signal")
    assert {timed.name for timed in found.timings} == {"onnx-fp32", "onnx-int8"}


def test_a_probe_that_hangs_ends_in_time_with_what_it_has(
    tmp_path: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hanging.py").write_text(
        "import sys, threading\n"
        'sys.stdout.write(\'{"name": "onnx-fp32", "threads": 1, "p50Ms": 2.0}\\n\')\n'
        'sys.stdout.write(\'{"begun": "onnx-int8"}\\n\')\n'
        "sys.stdout.flush()\n"
        "threading.Event().wait()\n"
    )
    monkeypatch.setattr(trial, "CHILD_MODULE", "hanging")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ways = select(package, Wanted(threads=1, fixed=True)).ways
    found = try_ways(package, ways, limit_s=1.0)
    assert found.timings == [Timed("onnx-fp32", 1, 2.0)]


def test_the_record_of_another_machine_is_another() -> None:
    here = fingerprint(2, ["onnxruntime"])
    assert here == fingerprint(2, ["onnxruntime"])
    assert len({here, fingerprint(4, ["onnxruntime"]), fingerprint(2, ["openvino"])}) == 3
