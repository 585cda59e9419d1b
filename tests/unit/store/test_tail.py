from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry.store.entries import START, Cursor, Stored
from skerry.store.tail import ENTRY_OVERHEAD_BYTES, Tail, Tails


def stored(sequence: int, priority: int = 0, expires_at: float | None = None, body: bytes = b"x") -> Stored:
    return Stored(sequence, "a", priority, expires_at, body, b"")


def numbers(tail: Tail, after: Cursor = START, now: float = 0.0, limit: int = 100) -> list[int]:
    return [entry.sequence for entry in tail.following(after, now, limit, 1000)]


def test_a_tail_gives_the_best_priority_first_then_stored_order() -> None:
    tail = Tail()
    for sequence, priority in ((1, 5), (2, 0), (3, 5), (4, 0)):
        tail.add(stored(sequence, priority))
    assert numbers(tail) == [2, 4, 1, 3]
    assert numbers(tail, Cursor(0, 2)) == [4, 1, 3]
    assert numbers(tail, Cursor(5, 1)) == [3]
    assert numbers(tail, limit=3) == [2, 4, 1]


def test_a_tail_leaves_out_what_expired_and_stops_at_its_bytes() -> None:
    tail = Tail()
    tail.add(stored(1, expires_at=10.0))
    tail.add(stored(2, expires_at=20.0, body=b"x" * 600))
    tail.add(stored(3, body=b"x" * 600))
    assert numbers(tail, now=10.0) == [2]
    assert numbers(tail, Cursor(0, 2), now=10.0) == [3]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "take"]), st.integers(0, 3), st.integers(1, 200)), max_size=300
    )
)
def test_a_tail_is_what_was_added_and_not_taken(steps: list[tuple[str, int, int]]) -> None:
    tail, model = Tail(), dict[int, Stored]()
    for number, (what, priority, chosen) in enumerate(steps, start=1):
        if what == "add":
            entry = stored(number, priority)
            tail.add(entry)
            model[number] = entry
        else:
            assert tail.take(chosen) == model.pop(chosen, None)
    kept = sorted(model.values(), key=lambda entry: entry.cursor)
    assert tail.following(START, 0.0, 1000, 1 << 20) == kept
    assert (len(tail), tail.bytes) == (len(model), len(model) * (1 + ENTRY_OVERHEAD_BYTES))


def test_tails_over_their_bound_give_up_the_one_read_longest_ago() -> None:
    tails = Tails(bytes_max=3 * ENTRY_OVERHEAD_BYTES)
    for endpoint in ("a", "b"):
        tails.begin(endpoint)
        tails.add([Stored(1, endpoint, 0, None, b"x", b"")])
    assert tails.read("a") is not None
    tails.add([Stored(2, "a", 0, None, b"x", b"")])
    assert tails.read("b") is None
    assert tails.take("b", [1]) is None
    assert tails.take("a", [2, 7]) == {2: 1}
