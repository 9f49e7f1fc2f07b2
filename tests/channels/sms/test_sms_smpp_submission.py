"""One message among answers in any order: always exactly one outcome, and the true one."""

from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Refused, Throttled
from channels.permissions import ENDED
from channels.sms.segments import prepare
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.statuses import StatusVerdict
from channels.sms.smpp.submission import Submission
from channels.sms.smpp.submit import Template

SETTINGS = SmppSettings(host="smsc", system_id="plp", source_address="PLP")


def a_transit(parts: int) -> Submission:
    content = prepare("a" * (153 * parts if parts > 1 else 1))
    template = Template(SETTINGS, content, None)
    return Submission(template, tuple(range(parts)), None, digits=b"32477123456", reference=7)


def test_a_short_message_taken_is_accepted() -> None:
    submission = a_transit(1)

    part = submission.take_part()

    assert submission.taken(part, "id") == Accepted(("id",))


def test_parts_have_their_own_slots_in_order() -> None:
    submission = a_transit(3)
    slots = []

    while submission.may_write:
        slots.append(submission.slot)
        submission.take_part()

    assert slots == [0, 1, 2]


def test_a_message_of_which_nothing_was_taken_is_known_not_sent() -> None:
    for verdict, kind in (
        (StatusVerdict.THROTTLE, Throttled),
        (StatusVerdict.TEMPORARY, Deferred),
        (StatusVerdict.NOT_BOUND, NotSent),
        (StatusVerdict.PERMANENT, Refused),
    ):
        submission = a_transit(2)
        submission.take_part()
        submission.take_part()

        assert submission.sent_back(1, verdict, 0x58, 1.0) is None
        assert isinstance(submission.sent_back(0, verdict, 0x58, 1.0), kind)


def test_nothing_more_is_written_once_a_part_was_sent_back() -> None:
    submission = a_transit(3)
    submission.take_part()
    submission.take_part()

    submission.sent_back(0, StatusVerdict.TEMPORARY, 0x14)

    assert not submission.may_write
    assert not submission.offer_again()  # the other answer is still due
    submission.taken(1, "b")
    assert submission.offer_again()
    assert submission.todo == [0, 2]


def test_a_permanent_refusal_outweighs_a_temporary_one() -> None:
    submission = a_transit(3)
    for _ in range(3):
        submission.take_part()
    submission.taken(0, "a")
    submission.sent_back(1, StatusVerdict.TEMPORARY, 0x14)

    outcome = submission.sent_back(2, StatusVerdict.PERMANENT, 0x0B)

    assert outcome == Refused("0x0000000B", "ESME_RINVDSTADR", ("a",))


def test_what_has_not_begun_is_withdrawn_by_a_cut() -> None:
    submission = a_transit(3)

    assert submission.cut(ENDED) == ENDED
    assert not submission.may_write


def test_a_cut_waits_for_the_answers_of_what_is_in_flight_and_names_the_parts_taken() -> None:
    submission = a_transit(3)
    submission.take_part()
    submission.take_part()

    assert submission.cut(ENDED) is None
    assert not submission.may_write
    assert submission.taken(1, "b") is None
    outcome = submission.taken(0, "a")

    assert isinstance(outcome, InDoubt)
    assert (outcome.code, outcome.refs) == ("cut", ("a", "b"))


def test_a_cut_message_of_which_every_part_was_sent_back_is_withdrawn() -> None:
    submission = a_transit(3)
    submission.take_part()
    submission.cut(ENDED)

    assert submission.sent_back(0, StatusVerdict.TEMPORARY, 0x14) == ENDED


def test_a_cut_message_whose_last_answer_never_comes_is_in_doubt_and_cut() -> None:
    submission = a_transit(3)
    submission.take_part()
    submission.cut(ENDED)

    outcome = submission.lost("no answer")

    assert outcome == InDoubt("no answer", (), "cut")


def test_a_message_that_is_all_written_cannot_be_cut_any_more() -> None:
    submission = a_transit(2)
    submission.take_part()
    submission.take_part()
    submission.cut(ENDED)
    submission.taken(0, "a")

    assert submission.taken(1, "b") == Accepted(("a", "b"))


def test_parts_kept_for_another_offer_stay_back_after_a_cut() -> None:
    submission = a_transit(2)
    submission.take_part()
    submission.take_part()
    submission.taken(0, "a")
    submission.sent_back(1, StatusVerdict.TEMPORARY, 0x14)
    assert submission.offer_again()
    assert submission.overtime

    outcome = submission.cut(ENDED)

    assert isinstance(outcome, InDoubt)
    assert (outcome.code, outcome.refs) == ("cut", ("a",))


answers = st.sampled_from([*StatusVerdict, "lost", "cut"])


@given(st.integers(1, 5), st.data())
def test_whatever_is_answered_there_is_one_outcome_and_it_is_true(parts: int, data: st.DataObject) -> None:
    submission = a_transit(parts)
    flight: list[int] = []
    taken: dict[int, str] = {}
    outcomes: list[Outcome | None] = []
    for step in range(200):
        if submission.outcome is not None and not flight:
            break
        if submission.may_write and (not flight or data.draw(st.booleans())):
            flight.append(submission.take_part())
            continue
        answer = data.draw(answers)
        if answer == "cut":
            outcomes.append(submission.cut(ENDED))
            continue
        part = flight.pop(data.draw(st.integers(0, len(flight) - 1)))
        match answer:
            case "lost":
                submission.in_flight -= 1
                outcomes.append(submission.lost("cut"))
            case StatusVerdict.TAKEN:
                assert part not in taken  # a part once taken is never written again
                taken[part] = f"id{part}.{step}"
                outcomes.append(submission.taken(part, taken[part]))
            case verdict:
                outcomes.append(submission.sent_back(part, verdict, 0x99))
        submission.offer_again()

    [outcome] = [one for one in outcomes if one is not None]
    assert outcome == submission.outcome
    match outcome:
        case Accepted(refs=refs):
            assert refs == tuple(taken[part] for part in range(parts))
        case NotSent() | Throttled() | Deferred():
            assert not taken
        case Refused(refs=refs) | InDoubt(refs=refs):
            assert set(refs) <= set(taken.values())
    if isinstance(outcome, InDoubt) and outcome.code == "cut":
        assert len(taken) < parts, "it is cut only if something of it stayed back"
