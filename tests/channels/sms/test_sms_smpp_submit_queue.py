"""The queue of parts: by slots, paced, counted; without a clock, a session or a loop."""

from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Accepted, NotSent, Outcome, Outgoing
from channels.sms.segments import prepare
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.submission import Submission
from channels.sms.smpp.submit import Template
from channels.sms.smpp.submit_queue import LATE_S, Queued, SubmitQueue

SETTINGS = SmppSettings(host="127.0.0.1", port=1, system_id="a", source_address="PLP")
SHORT, LONG = prepare("Alerte"), prepare("Voiture suspecte, appelez le 112. " * 10)


def queued(number: int, *slots: float) -> Queued[str]:
    text = SHORT if len(slots) == 1 else LONG
    submission = Submission(Template(SETTINGS, text, None), slots, None, digits=b"32470000000", reference=number % 256)
    outgoing = Outgoing(f"t.{number}", "+32470000000", "", text, slots)
    return Queued(submission, lambda index, outcome: None, number, outgoing)


def write_all(queue: SubmitQueue[str]) -> list[tuple[float, int, int]]:
    """(instant, message, part) of everything that waits, each written at its instant."""
    written = []
    while (first := queue.first()) is not None:
        at = queue.instant(first)
        assert queue.take() is first
        queue.left(first, at)
        part = first.submission.take_part()
        written.append((at, first.index, part))
        if first.submission.todo:
            queue.push(first, first.submission.slot, 0.0)
    return written


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=40))
def test_every_part_leaves_once_in_the_order_of_the_slots_and_never_before_its_own(
    wanted: list[tuple[float, bool]],
) -> None:
    queue: SubmitQueue[str] = SubmitQueue(500)
    slots: dict[tuple[int, int], float] = {}
    for number, (slot, is_long) in enumerate(wanted):
        own = [slot + k / 500 for k in range(LONG.units if is_long else 1)]
        slots |= {(number, part): at for part, at in enumerate(own)}
        queue.push(queued(number, *own), slot, 0.0)
    assert queue.units == len(slots)

    written = write_all(queue)

    assert sorted((number, part) for _, number, part in written) == sorted(slots)
    assert all(at >= slots[number, part] for at, number, part in written)
    assert [at for at, _, _ in written] == sorted(at for at, _, _ in written)
    assert queue.units == 0


def test_what_is_held_lets_others_pass_and_has_its_place_again() -> None:
    queue: SubmitQueue[str] = SubmitQueue(500)
    for number in range(3):
        queue.push(queued(number, 1.0 + number), 1.0 + number, 0.0)
    blocked = queue.take()
    queue.hold(blocked)

    passing = queue.first()
    assert passing is not None
    assert passing.index == 1
    assert {each.index for each in queue.waiting()} == {0, 1, 2}

    queue.resume()
    assert queue.first() is blocked
    assert queue.units == 3


def test_what_has_its_outcome_is_passed_over_and_not_counted() -> None:
    queue: SubmitQueue[str] = SubmitQueue(500)
    gone, left = queued(0, 1.0), queued(1, 2.0)
    for each in (gone, left):
        queue.push(each, each.submission.slot, 0.0)
    outcome: Outcome | None = gone.submission.settle(NotSent("no"))
    assert outcome == NotSent("no")
    queue.forget(gone)

    assert queue.first() is left
    assert queue.units == 1
    assert list(queue.waiting()) == [left]


def test_a_message_that_is_pushed_anew_has_one_place() -> None:
    queue: SubmitQueue[str] = SubmitQueue(500)
    message = queued(0, 1.0)
    queue.push(message, 1.0, 0.0)
    queue.push(message, 5.0, 0.0)

    assert queue.first() is message
    assert queue.instant(message) == 5.0
    assert queue.units == 1
    assert [number for _, number, _ in write_all(queue)] == [0]


def test_it_is_late_while_the_first_has_missed_its_slot_by_far() -> None:
    queue: SubmitQueue[str] = SubmitQueue(500)
    assert not queue.is_late(1e9)
    queue.push(queued(0, 1.0), 1.0, 0.0)
    assert not queue.is_late(0.999 + LATE_S)
    assert queue.is_late(1.001 + LATE_S)


def test_what_is_taken_has_left_the_queue_whatever_becomes_of_it() -> None:
    queue: SubmitQueue[str] = SubmitQueue(500)
    message = queued(0, 1.0)
    queue.push(message, 1.0, 0.0)
    queue.left(queue.take(), 1.0)
    message.submission.take_part()

    assert message.submission.taken(0, "id") == Accepted(("id",))
    assert queue.first() is None
    assert queue.units == 0
