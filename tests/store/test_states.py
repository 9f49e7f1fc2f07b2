"""What may follow what, every pair of it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.states import (
    CHARGING_EVENTS,
    ENDED_BY,
    FINAL,
    LATER,
    MAY_HAVE_IT,
    NEVER_IN_DOUBT,
    OF_AN_ATTEMPT,
    OPEN,
    TRANSITIONS,
    CampaignState,
    DeliveryEvent,
    DeliveryState,
    after,
    after_all,
)

Q, R, U, A, D, F, X, C, N = DeliveryState
_EVENTS = tuple(DeliveryEvent)
_RECEIPTS = {DeliveryEvent.RECEIPT_DELIVERED: D, DeliveryEvent.RECEIPT_FAILED: F, DeliveryEvent.RECEIPT_EXPIRED: X}

# One line an event: the state that follows each of queued, retry, unknown, accepted, delivered, failed, expired,
# cancelled, not needed.
EXPECTED = {
    DeliveryEvent.ACCEPTED: (A, A, A, A, D, F, X, A, A),
    DeliveryEvent.REFUSED: (F, F, F, A, D, F, X, C, N),
    DeliveryEvent.DEFERRED: (R, R, R, A, D, F, X, C, N),
    DeliveryEvent.EXHAUSTED: (F, F, F, A, D, F, X, C, N),
    DeliveryEvent.NOT_SENT: (R, R, R, A, D, F, X, C, N),
    DeliveryEvent.IN_DOUBT: (U, U, U, A, D, F, X, U, U),
    DeliveryEvent.LOST: (U, U, U, A, D, F, X, C, N),
    DeliveryEvent.RESEND: (Q, R, R, A, D, F, X, C, N),
    DeliveryEvent.GIVEN_UP: (Q, U, U, A, D, F, X, C, N),
    DeliveryEvent.QUARANTINED: (F, F, U, A, D, F, X, C, N),
    DeliveryEvent.ATTEMPT_LOST: (Q, R, U, A, D, F, X, C, N),
    DeliveryEvent.RECEIPT_DELIVERED: (D, D, D, D, D, D, D, D, D),
    DeliveryEvent.RECEIPT_FAILED: (F, F, F, F, D, F, X, F, F),
    DeliveryEvent.RECEIPT_EXPIRED: (X, X, X, X, D, F, X, X, X),
    DeliveryEvent.EXPIRE: (X, X, U, A, D, F, X, C, N),
    DeliveryEvent.CANCEL: (C, C, U, A, D, F, X, C, N),
    DeliveryEvent.NOT_NEEDED: (N, N, U, A, D, F, X, C, N),
}


@pytest.mark.parametrize("event", DeliveryEvent)
def test_every_event_in_every_state_leads_where_the_table_says(event):
    assert tuple(after(state, event) for state in DeliveryState) == EXPECTED[event]


def test_every_state_is_open_final_or_waits_for_evidence():
    assert OPEN | FINAL | {U, A} == set(DeliveryState)
    assert not OPEN & FINAL


def test_delivered_outranks_everything_and_nothing_leads_out_of_it():
    assert {after(state, DeliveryEvent.RECEIPT_DELIVERED) for state in DeliveryState} == {D}
    assert {after(D, event) for event in DeliveryEvent} == {D}


@pytest.mark.parametrize("state", [C, N])
def test_cancelled_and_not_needed_are_reached_only_from_what_was_not_handed_to_anybody(state):
    assert {old for (old, _), new in TRANSITIONS.items() if new is state} == OPEN


def test_final_states_are_left_only_by_facts_that_come_late():
    out = {(old, event): new for (old, event), new in TRANSITIONS.items() if old in FINAL and new is not old}

    assert {key for key in out if key[0] in (F, X)} == {
        (F, DeliveryEvent.RECEIPT_DELIVERED),
        (X, DeliveryEvent.RECEIPT_DELIVERED),
    }
    assert {key[1] for key in out if key[0] in (C, N)} == {DeliveryEvent.ACCEPTED, DeliveryEvent.IN_DOUBT, *_RECEIPTS}


def test_nothing_that_was_handed_over_becomes_queued_again():
    assert all(new is not Q for new in TRANSITIONS.values())


@given(st.lists(st.sampled_from(_EVENTS)))
def test_once_delivered_whatever_happens_it_stays_delivered(events):
    state = Q
    seen = False
    for event in events:
        state = after(state, event)
        seen = seen or event is DeliveryEvent.RECEIPT_DELIVERED
        assert (state is D) is seen


@given(st.lists(st.sampled_from(_EVENTS)))
def test_what_a_carrier_took_is_never_shown_as_cancelled_or_as_still_to_be_sent(events):
    state = Q
    proven = False
    for event in events:
        state = after(state, event)
        proven = proven or (event in CHARGING_EVENTS and state is not Q)
        if proven:
            assert state not in (Q, R, C, N)


@given(st.permutations([DeliveryEvent.ACCEPTED, DeliveryEvent.RECEIPT_DELIVERED, DeliveryEvent.RECEIPT_FAILED]))
def test_the_order_in_which_an_answer_and_its_receipts_come_does_not_matter(events):
    state = Q
    for event in events:
        state = after(state, event)
    assert state is D


def test_accepted_never_becomes_delivered_without_a_receipt():
    assert {event for (old, event), new in TRANSITIONS.items() if new is D} == {DeliveryEvent.RECEIPT_DELIVERED}


def test_every_way_of_ending_a_campaign_takes_what_is_open_to_a_final_state():
    endings = set(CampaignState) - {
        CampaignState.PREPARING,
        CampaignState.SCHEDULED,
        CampaignState.RUNNING,
        CampaignState.COMPLETED,
    }

    assert set(ENDED_BY) == endings
    for state, event in itertools.product(OPEN, ENDED_BY.values()):
        assert after(state, event) in FINAL


def test_only_a_running_campaign_may_send():
    assert [s for s in CampaignState if s.may_send] == [CampaignState.RUNNING]


def test_whoever_may_have_it_includes_whoever_is_in_doubt():
    assert frozenset({U, A, D}) == MAY_HAVE_IT


# ---- in view of other attempts ---------------------------------------------------------------------------


def follows(state, event, *, is_latest=True, was_taken=False, other_doubts=False):
    return after_all(state, event, is_latest=is_latest, was_taken=was_taken, other_doubts=other_doubts)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(DeliveryState, DeliveryEvent)))
def test_nobody_of_whom_another_attempt_is_in_doubt_is_called_never_reached(state, event):
    new = follows(state, event, other_doubts=True)

    assert new is state or new not in NEVER_IN_DOUBT
    plain = after(state, event)
    assert new is (U if plain is not state and plain in NEVER_IN_DOUBT else follows(state, event))


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(sorted(OPEN), sorted(OF_AN_ATTEMPT | {DeliveryEvent.RECEIPT_FAILED})))
)
def test_what_is_told_of_an_earlier_attempt_does_not_close_one_that_is_to_leave(state, event):
    assert follows(state, event, is_latest=False) is state


@pytest.mark.parametrize("state", [F, X])
def test_a_later_attempt_that_was_taken_outranks_a_failure_that_nobody_had_taken(state):
    assert follows(state, DeliveryEvent.ACCEPTED) is A
    assert follows(state, DeliveryEvent.ACCEPTED, was_taken=True) is state
    assert follows(state, DeliveryEvent.ACCEPTED, is_latest=False) is state
    assert set(LATER) == {(F, DeliveryEvent.ACCEPTED), (X, DeliveryEvent.ACCEPTED)}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(DeliveryState, DeliveryEvent)))
def test_what_is_delivered_stays_so_whatever_is_told_of_other_attempts(state, event):
    for is_latest, was_taken, other_doubts in itertools.product((True, False), repeat=3):
        options = {"is_latest": is_latest, "was_taken": was_taken, "other_doubts": other_doubts}
        assert follows(D, event, **options) is D
        assert follows(state, DeliveryEvent.RECEIPT_DELIVERED, **options) is D
