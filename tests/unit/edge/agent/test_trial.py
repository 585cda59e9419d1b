"""How a deployment proves itself, or is condemned."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skerry.edge.agent.deployments import Deployment, Deployments, RolledBack
from skerry.edge.agent.state import NO_HISTORY, History, Image, Tally
from skerry.edge.agent.trial import LOOK_MAX_S, STEADY_S, Fault, Trial, condemned, look
from skerry.edge.engine.port import Observed
from tests.support.edge import agent_desired
from tests.unit.edge.agent.builders import NOON, all_of, here, running, seen, wanted

PATIENCE_S = 300.0
OLD, NEW = Deployment(1, agent_desired(1, cnn="cnn:1")), Deployment(2, agent_desired(2, cnn="cnn:2"))


def after(*looks: tuple[Observed | None, float], history: History = NO_HISTORY, **spec: str) -> Trial:
    trial = Trial()
    for one, now in looks:
        trial, _ = look(trial, all_of(wanted(**spec)), running(one) if one else {}, history, now)
    return trial


def proven(one: Observed, **spec: str) -> bool:
    return look(Trial(), all_of(wanted(**spec)), running(one), NO_HISTORY, NOON)[1]


def test_a_module_that_ran_steadily_proves_its_deployment() -> None:
    assert proven(seen(started_at=NOON - STEADY_S))
    assert not proven(seen(started_at=NOON - STEADY_S + 1))
    assert proven(seen(started_at=NOON - 99, health="healthy"))
    assert not proven(seen(started_at=NOON - 99, health="starting"))
    assert not proven(seen(started_at=NOON - 99, health="unhealthy"))


def test_a_job_that_ended_well_proves_it_and_one_that_failed_does_not() -> None:
    done = seen(status="exited", exit_code=0)
    assert proven(done, restart_policy="on-failure")
    assert not proven(done, restart_policy="always")
    assert not proven(replace(done, exit_code=1), restart_policy="never")


def test_a_deployment_without_modules_is_proven_at_once() -> None:
    assert look(Trial(), {}, {}, NO_HISTORY, NOON) == (Trial({}, NOON), True)


def test_a_crash_loop_condemns_it_although_the_module_is_up_between_its_crashes() -> None:
    up, down = seen(), seen(status="exited", exit_code=7)
    looks = [
        (down if n % 3 == 0 else replace(up, started_at=NOON + n * 10 - 5), NOON + n * 10) for n in range(31)
    ]
    trial = after(*looks)
    assert condemned(trial, PATIENCE_S) == "cnn: exited with code 7"
    assert condemned(trial, PATIENCE_S + 1) is None


def test_running_well_once_forgives() -> None:
    trial = Trial({"cnn": Fault(299, "exited with code 7")}, NOON - 5)
    after_it, ok = look(trial, all_of(wanted()), running(seen(started_at=NOON - 40)), NO_HISTORY, NOON)
    assert ok
    assert after_it.faults == {}


def test_an_image_that_does_not_exist_is_a_fault_and_an_unreachable_registry_is_not() -> None:
    def history(kind: str) -> History:
        return History(images={"cnn:1": Image(failed=Tally(3, NOON, "no such image", kind))})

    assert after((None, NOON), history=history("NotFound")).faults == {"cnn": Fault(0, "no such image")}
    assert after((None, NOON), history=history("Unavailable")).faults == {}
    assert after((None, NOON), history=here()).faults == {}


def test_a_refused_module_is_a_fault_unless_the_engine_was_away() -> None:
    refused = History(failures={"cnn": Tally(1, NOON, "port taken", "InvalidInput")})
    assert after((None, NOON), history=refused).faults == {"cnn": Fault(0, "port taken")}
    away = History(failures={"cnn": Tally(1, NOON, "engine away", "Unavailable")})
    assert after((None, NOON), history=away).faults == {}


@given(st.lists(st.floats(-1e10, 1e10), min_size=1, max_size=40))
def test_no_clock_step_counts_for_more_than_a_look(jumps: list[float]) -> None:
    trial, now = Trial(), NOON
    for jump in jumps:
        now += jump
        trial, _ = look(trial, all_of(wanted()), running(seen(status="exited", exit_code=1)), NO_HISTORY, now)
    assert 0 <= trial.faults["cnn"].seconds <= LOOK_MAX_S * (len(jumps) - 1)


@given(st.lists(st.booleans(), min_size=60, max_size=60), st.integers(1, 20))
def test_it_is_condemned_exactly_when_a_module_was_never_well_for_its_patience(
    well: list[bool], patience_looks: int
) -> None:
    trial, streak = Trial(), -1
    for n, good in enumerate(well):
        module = seen(started_at=NOON - 99) if good else seen(status="exited", exit_code=1)
        trial, _ = look(trial, all_of(wanted()), running(module), NO_HISTORY, NOON + n * 5)
        streak = -1 if good else streak + 1
        assert (condemned(trial, patience_looks * 5.0) is not None) == (streak >= patience_looks)


def test_a_newer_deployment_preempts_in_every_state() -> None:
    tried = Deployments().offer(OLD).prove().offer(NEW)
    rolled = tried.condemn("it crashed")
    newest = Deployment(3, agent_desired(3, cnn="cnn:3"))
    for state in (Deployments(), Deployments().offer(OLD), tried, rolled):
        assert state.offer(newest) == Deployments(newest, state.proven, Trial())


def test_a_rollback_returns_to_the_proven_one_and_stays_there() -> None:
    rolled = Deployments().offer(OLD).prove().offer(NEW).condemn("it crashed")
    assert rolled.current == OLD
    assert rolled.rolled_back == RolledBack(2, 1, "it crashed")
    assert rolled.trial is None
    assert rolled.offer(NEW) == rolled  # the twin still asks for it
    assert rolled.images_kept == {"cnn:1"}


def test_without_anything_proven_or_different_there_is_no_way_back() -> None:
    first = Deployments().offer(OLD)
    assert first.condemn("it crashed") == first
    same = first.prove().offer(Deployment(9, OLD.properties))
    assert same.condemn("it crashed") == same


faults = st.dictionaries(st.sampled_from("ab"), st.builds(Fault, st.floats(0, 1e6), st.text(max_size=9)))


@given(faults, st.sampled_from(["offered", "proven", "tried", "rolled"]))
def test_it_reads_back_as_it_was_written(held: dict[str, Fault], state: str) -> None:
    offered = Deployments().offer(OLD)
    states = {
        "offered": offered,
        "proven": offered.prove(),
        "tried": replace(offered.prove().offer(NEW), trial=Trial(held)),
        "rolled": offered.prove().offer(NEW).condemn("x"),
    }
    assert Deployments.from_json(states[state].to_json()) == states[state]
