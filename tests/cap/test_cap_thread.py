"""Threads: who may change what, what ends when, and that the order of arrival does not matter where it must not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cap import Alert, Level, MsgType, Reference, Scope, Status
from cap.thread import REACH, TABLE, KnownMessage, MessageState, Phase, Reach, ThreadStep, phase, place, repeat

START = datetime(2026, 5, 11, 20, 0, tzinfo=UTC)
US, THEM = "dispatch@zone-a.example", "dispatch@zone-b.example"


def at(minutes):
    return START + timedelta(minutes=minutes)


def reference(name, minutes=0, sender=US):
    return Reference(sender, name, at(minutes))


def known(name, state=MessageState.ACTIVE, *, minutes=0, sender=US, status=Status.ACTUAL, scope=Scope.PUBLIC, thread=1):
    key = sum(map(ord, name))
    return KnownMessage(key, reference(name, minutes, sender), status, scope, state, thread)


def message(msg_type, *, minutes=10, status=Status.ACTUAL, scope=Scope.PUBLIC, sender=US):
    return Alert("m", sender, at(minutes), status, msg_type, scope)


def placed(alert, *items, missing=(), members=None, **options):
    """With every known item named, and the threads made of them unless said otherwise."""
    named = [(item.reference, item) for item in items] + [(lost, None) for lost in missing]
    return place(alert, named, items if members is None else members, **options)


def rules(placement):
    return [remark.rule for remark in placement.remarks]


# ---- the table -----------------------------------------------------------------------------------------------


def test_the_table_has_an_answer_for_every_message_in_every_phase():
    assert set(TABLE) == {(msg_type, phase) for msg_type in MsgType for phase in Phase}


IN_PHASE = {
    Phase.UNKNOWN: (),
    Phase.LIVE: (known("a"),),
    Phase.OVER: (known("a", MessageState.EXPIRED),),
    Phase.CANCELLED: (known("a", MessageState.CANCELLED),),
}


@pytest.mark.parametrize(("msg_type", "before"), TABLE, ids=lambda word: word)
def test_a_message_does_what_the_table_says(msg_type, before):
    items = IN_PHASE[before]
    missing = () if items else (reference("a"),)

    assert placed(message(msg_type), *items, missing=missing).step is TABLE[msg_type, before]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), Phase.UNKNOWN),
        ((MessageState.SUPERSEDED, MessageState.ACTIVE), Phase.LIVE),
        ((MessageState.CANCELLED, MessageState.ACTIVE), Phase.LIVE),
        ((MessageState.SUPERSEDED, MessageState.CANCELLED), Phase.CANCELLED),
        ((MessageState.SUPERSEDED,), Phase.OVER),
        ((MessageState.KEPT, MessageState.EXPIRED, MessageState.FAILED), Phase.OVER),
    ],
)
def test_a_thread_is_live_while_anything_in_it_is_and_cancelled_after_one_cancel(states, expected):
    assert phase([known(str(n), state) for n, state in enumerate(states)]) is expected


# ---- what follows --------------------------------------------------------------------------------------------


def test_an_update_replaces_all_that_is_active_named_or_not():
    first, second, old = known("a"), known("b", minutes=1), known("c", MessageState.SUPERSEDED)

    placement = placed(message(MsgType.UPDATE), second, members=(first, second, old))

    assert placement.step is ThreadStep.REPLACE
    assert placement.thread == 1
    assert set(placement.ends) == {first.key, second.key}
    assert rules(placement) == []


def test_an_update_that_forgets_the_latest_word_is_told_so():
    first, second = known("a"), known("b", minutes=1)

    placement = placed(message(MsgType.UPDATE), first, members=(first, second))

    assert rules(placement) == ["C-SUPERSEDE"]
    assert "b" in placement.remarks[0].text
    assert placement.remarks[0].level is Level.WARNING


def test_a_second_update_of_one_parent_is_a_fork_and_the_later_word_holds():
    parent, first = known("a", MessageState.SUPERSEDED), known("b", minutes=5)

    later = placed(message(MsgType.UPDATE, minutes=6), parent, members=(parent, first))
    earlier = placed(message(MsgType.UPDATE, minutes=4), parent, members=(parent, first))

    assert (later.step, later.ends, rules(later)) == (ThreadStep.REPLACE, (first.key,), ["C-SUPERSEDE", "C-ORDER"])
    assert (earlier.step, earlier.ends, rules(earlier)) == (ThreadStep.STALE, (), ["C-ORDER"])


def test_a_cancel_ends_a_thread_however_late_it_comes():
    parent, update = known("a", MessageState.SUPERSEDED), known("b", minutes=15)

    placement = placed(message(MsgType.CANCEL, minutes=10), parent, members=(parent, update))

    assert (placement.step, placement.ends) == (ThreadStep.END, (update.key,))


def test_a_cancelled_thread_stays_so_even_if_only_its_first_message_is_named():
    parent, update = known("a", MessageState.SUPERSEDED), known("b", MessageState.CANCELLED, minutes=1)

    for msg_type in (MsgType.UPDATE, MsgType.CANCEL):
        placement = placed(message(msg_type), parent, members=(parent, update))
        assert placement.step is ThreadStep.REFUSE
        assert placement.refusal.rule == "C-TERMINAL"
        assert "cancelled" in placement.refusal.text


def test_a_cancelled_reference_beside_a_live_one_is_told_and_ignored():
    placement = placed(message(MsgType.CANCEL), known("a", MessageState.CANCELLED), known("b", minutes=1))

    assert placement.step is ThreadStep.END
    assert rules(placement) == ["C-TERMINAL"]


def test_what_names_only_the_unknown_waits_and_what_names_some_goes_on():
    lost = reference("z")

    assert placed(message(MsgType.UPDATE), missing=(lost,)).step is ThreadStep.WAIT
    placement = placed(message(MsgType.UPDATE), known("a"), missing=(lost,))
    assert placement.step is ThreadStep.REPLACE
    assert rules(placement) == ["C-KNOWN"]
    assert "z" in placement.remarks[0].text


def test_a_reference_with_another_time_than_the_message_had_is_told():
    item = known("a")

    placement = place(message(MsgType.UPDATE), [(reference("a", minutes=3), item)], [item])

    assert placement.step is ThreadStep.REPLACE
    assert rules(placement) == ["C-KNOWN"]


@pytest.mark.parametrize("msg_type", [MsgType.ACK, MsgType.ERROR])
def test_an_answer_changes_nothing_whoever_sent_it(msg_type):
    placement = placed(message(msg_type, sender=THEM), known("a"))

    assert (placement.step, placement.ends, placement.refusal) == (ThreadStep.KEEP, (), None)


def test_the_same_bytes_again_are_the_same_message_and_other_bytes_are_none():
    assert repeat("d1", "d1") is ThreadStep.SAME
    assert repeat("d1", "d2") is ThreadStep.REFUSE


# ---- guards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_only_the_sender_or_its_delegate_changes_an_alert(msg_type):
    alert = message(msg_type, sender=THEM)

    refused = placed(alert, known("a"))
    allowed = placed(alert, known("a"), delegates={THEM: frozenset({US})})
    reverse = placed(alert, known("a"), delegates={US: frozenset({THEM})})

    assert (refused.step, refused.refusal.rule, refused.ends) == (ThreadStep.REFUSE, "C-AUTH", ())
    assert allowed.step is not ThreadStep.REFUSE
    assert reverse.step is ThreadStep.REFUSE


def test_a_foreign_reference_among_own_ones_is_left_alone_and_told():
    placement = placed(message(MsgType.CANCEL), known("a"), known("b", sender=THEM, thread=2))

    assert (placement.step, placement.refusal) == (ThreadStep.END, None)
    assert placement.ends == placed(message(MsgType.CANCEL), known("a")).ends
    assert [(r.rule, r.value, r.level) for r in placement.remarks] == [("C-AUTH", "b", Level.WARNING)]


def test_a_message_that_names_itself_among_others_means_the_others():
    itself = message(MsgType.CANCEL)
    earlier = known("a")

    placement = place(itself, [(itself.reference, None), (earlier.reference, earlier)], [earlier])

    assert placement == place(itself, [(earlier.reference, earlier)], [earlier])


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_whether_a_foreign_message_has_ever_arrived_is_not_told(msg_type):
    there = known("b", sender=THEM)

    arrived = place(message(msg_type), [(there.reference, there)], [there])
    unknown = place(message(msg_type), [(there.reference, None)], [])

    assert arrived == unknown
    assert arrived.refusal.rule == "C-AUTH"


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
@pytest.mark.parametrize(("mine", "theirs"), [(Status.TEST, Status.ACTUAL), (Status.ACTUAL, Status.EXERCISE)])
def test_a_message_of_one_status_never_changes_one_of_another(msg_type, mine, theirs):
    placement = placed(message(msg_type, status=mine), known("a", status=theirs))

    assert placement.refusal.rule == "C-STATUS"


@pytest.mark.parametrize("status", [Status.SYSTEM, Status.DRAFT])
def test_drafts_and_system_messages_are_kept_and_change_nothing(status):
    for msg_type in MsgType:
        placement = placed(message(msg_type, status=status), known("a"))
        assert (placement.step, placement.ends) == (ThreadStep.KEEP, ())


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (Scope.PRIVATE, Scope.PUBLIC, True),
        (Scope.PRIVATE, Scope.RESTRICTED, True),
        (Scope.RESTRICTED, Scope.PUBLIC, True),
        (Scope.PUBLIC, Scope.PRIVATE, False),
        (Scope.PUBLIC, Scope.PUBLIC, False),
    ],
)
def test_an_update_that_widens_the_scope_is_told_so_and_done(before, after, told):
    item = known("a", scope=before)

    update = placed(message(MsgType.UPDATE, scope=after), item)
    cancel = placed(message(MsgType.CANCEL, scope=after), item)

    assert (update.step, update.ends) == (ThreadStep.REPLACE, (item.key,))
    assert [(r.rule, r.level) for r in update.remarks] == [("C-SCOPE", Level.WARNING)] * told
    assert (cancel.step, rules(cancel)) == (ThreadStep.END, [])


@pytest.mark.parametrize(
    "state", [MessageState.EXPIRED, MessageState.FAILED, MessageState.KEPT, MessageState.SUPERSEDED]
)
def test_an_update_of_what_is_over_goes_on_with_it(state):
    placement = placed(message(MsgType.UPDATE), known("a", state, thread=3))

    assert (placement.step, placement.thread, placement.ends) == (ThreadStep.REPLACE, 3, ())
    assert [(r.rule, r.value, r.level) for r in placement.remarks] == [("C-TERMINAL", "a", Level.WARNING)]


@pytest.mark.parametrize(("msg_type", "step"), [(MsgType.UPDATE, ThreadStep.REPLACE), (MsgType.CANCEL, ThreadStep.END)])
def test_a_message_that_names_two_threads_ends_both_and_makes_them_one(msg_type, step):
    first, second = known("a", thread=2), known("b", thread=1)

    placement = placed(message(msg_type), first, second)

    assert (placement.step, placement.thread, placement.merges) == (step, 1, (2,))
    assert set(placement.ends) == {first.key, second.key}
    assert [(remark.rule, remark.level) for remark in placement.remarks] == [("C-THREADS", Level.INFORMATION)]


def test_a_thread_that_is_over_is_not_woken_by_an_update_of_another_and_a_cancel_ends_it_too():
    live, over, cancelled = (
        known("a"),
        known("b", MessageState.EXPIRED, thread=2),
        known("c", MessageState.CANCELLED, thread=3),
    )

    update = placed(message(MsgType.UPDATE), live, over, cancelled)
    cancel = placed(message(MsgType.CANCEL), live, over, cancelled)

    assert (update.step, update.thread, update.merges, update.ends) == (ThreadStep.REPLACE, 1, (), (live.key,))
    assert [(r.rule, r.value) for r in update.remarks] == [("C-TERMINAL", "b"), ("C-TERMINAL", "c")]
    assert (cancel.step, cancel.thread, cancel.merges) == (ThreadStep.END, 1, (2,))
    assert [(r.rule, r.value) for r in cancel.remarks] == [("C-TERMINAL", "c"), ("C-THREADS", "a, b")]


def test_an_update_leaves_alone_the_thread_that_has_a_later_word_and_changes_the_other():
    older, newer = known("a", minutes=1), known("b", minutes=15, thread=2)

    placement = placed(message(MsgType.UPDATE, minutes=10), older, newer)

    assert (placement.step, placement.thread, placement.merges) == (ThreadStep.REPLACE, 1, ())
    assert placement.ends == (older.key,)
    assert [(r.rule, r.value) for r in placement.remarks] == [("C-ORDER", "b")]


def test_of_two_threads_that_both_have_a_later_word_nothing_is_changed():
    items = known("a", minutes=12), known("b", minutes=15, thread=2)

    placement = placed(message(MsgType.UPDATE, minutes=10), *items)

    assert (placement.step, placement.thread, placement.ends) == (ThreadStep.STALE, 2, ())
    assert rules(placement) == ["C-ORDER"]


def test_only_actual_messages_reach_people():
    assert set(REACH) == set(Status)
    assert [status for status, reach in REACH.items() if reach is Reach.PEOPLE] == [Status.ACTUAL]


# ---- any order of arrival ------------------------------------------------------------------------------------


class Desk:
    """A receiver with a memory, and nothing else: what `place` is written for."""

    def __init__(self):
        self.members = [known("a")]
        self.stopped = []  # everything that was ever active and was ended, in order

    def take(self, name, msg_type, minutes, parents):
        by_name = {member.reference.identifier: member for member in self.members}
        named = [(reference(parent, by_name[parent].reference.sent.minute), by_name[parent]) for parent in parents]
        placement = place(message(msg_type, minutes=minutes), named, self.members)
        state = {
            ThreadStep.REPLACE: MessageState.ACTIVE,
            ThreadStep.END: MessageState.CANCELLED,
            ThreadStep.STALE: MessageState.KEPT,
        }.get(placement.step)
        if state is None:
            return placement
        ended = MessageState.CANCELLED if placement.step is ThreadStep.END else MessageState.SUPERSEDED
        self.members = [replace(m, state=ended) if m.key in placement.ends else m for m in self.members]
        self.members.append(replace(known(name, state, minutes=minutes), key=len(self.members)))
        self.stopped += placement.ends
        return placement

    def active(self):
        return [member for member in self.members if member.state is MessageState.ACTIVE]


@given(st.permutations(range(1, 7)), st.data())
def test_updates_in_any_order_leave_the_latest_one_alone_in_force(order, data):
    desk = Desk()

    for minutes in order:
        names = [member.reference.identifier for member in desk.members]
        parents = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        desk.take(f"u{minutes}", MsgType.UPDATE, minutes, parents)

    (last,) = desk.active()
    assert last.reference.identifier == "u6"
    assert len(desk.stopped) == len(set(desk.stopped))


@given(
    st.lists(st.tuples(st.sampled_from([MsgType.UPDATE, MsgType.CANCEL]), st.integers(1, 59)), max_size=8), st.data()
)
def test_after_a_cancel_nothing_of_its_thread_is_ever_in_force_again(messages, data):
    desk = Desk()
    over = False

    for number, (msg_type, minutes) in enumerate(messages):
        names = [member.reference.identifier for member in desk.members]
        parents = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        placement = desk.take(f"m{number}", msg_type, minutes, parents)
        assert not (over and placement.step is not ThreadStep.REFUSE)
        over = over or placement.step is ThreadStep.END
        assert len(desk.active()) == (0 if over else 1)
