"""From an alert to a decision: what is refused names its rule, its place and how to mend it; nothing is guessed."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from cap import MsgType, Scope, Status, ValuePair, read
from channels.contract import Channel
from gateway.access.rights import Caller
from gateway.campaigns.intake import Act, Thread, decide, milliseconds
from gateway.directory.agreements import USUAL
from gateway.errors import Refusal
from gateway.kinds import Kind
from store.campaigns.alerts import FiledAlert as Filed
from store.outbox.records import ThreadSeen
from tests.cap.documents import BASE

ALERT = read(BASE.encode()).alert
NOW_MS = milliseconds(ALERT.sent) + 60_000
OTHER = "hub@b.example"
ALONE = Thread()


def caller(*acts_for, senders=(ALERT.sender,)):
    agreement = replace(USUAL, acts_for=frozenset(acts_for))
    return Caller(1, "cic", "CIC", "cic", senders, (), (), {ALERT.sender: agreement})


def filed(number=1, **changes):
    made = Filed(
        id=number, public_id=f"a{number}", sender=ALERT.sender, identifier=f"id-{number}",
        sent_ms=milliseconds(ALERT.sent) - 60_000 + number * 1000, status="Actual", msg_type="Alert", scope="Public",
        document=b"", sha256="", account_id=1, received_ms=0, expires_ms=None, thread_id=1, state="active", note="",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def following(*known, msg_type=MsgType.UPDATE, **changes):
    """A message that names these, and its thread."""
    references = tuple(
        replace(ALERT.reference, sender=f.sender, identifier=f.identifier, sent=ALERT.sent - timedelta(seconds=30))
        for f in known
    )
    message = replace(ALERT, msg_type=msg_type, references=references, **changes)
    return message, Thread(tuple(zip(references, known, strict=True)), tuple(known))


def refusal_of(alert, thread=ALONE, by=None):
    with pytest.raises(Refusal) as caught:
        decide(alert, by or caller(), thread, NOW_MS)
    return caught.value


def with_parameters(*parameters):
    pairs = tuple(ValuePair(name, value) for name, value in parameters)
    return replace(ALERT, infos=tuple(replace(info, parameters=pairs) for info in ALERT.infos))


def rules_of(decision):
    return {(reason.rule, reason.level) for reason in decision.problems}


# ---- who ---------------------------------------------------------------------------------------------------------


def test_a_sender_that_is_not_the_accounts_is_refused_by_name():
    refusal = refusal_of(ALERT, by=caller(senders=(OTHER,)))

    (reason,) = refusal.reasons
    assert (refusal.status, refusal.code) == (403, "sender-not-yours")
    assert (reason.rule, reason.path, reason.value) == ("A-SENDER-AUTH", "/alert/sender", ALERT.sender)


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_another_senders_alert_is_changed_only_by_who_acts_for_it(msg_type):
    message, thread = following(filed(sender=OTHER), msg_type=msg_type)

    (reason,) = refusal_of(message, thread).reasons
    decision = decide(message, caller(OTHER), thread, NOW_MS)

    assert (reason.rule, reason.value, reason.path) == ("C-AUTH", "id-1", "/alert/references")
    assert decision.follows == (1,)


# ---- threads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "changes", "status", "rule"),
    [
        ([filed(sender=OTHER)], {}, 403, "C-AUTH"),
        ([filed(status="Exercise")], {}, 409, "C-STATUS"),
        ([filed()], {"status": Status.TEST}, 409, "C-STATUS"),
        ([filed(state="cancelled")], {}, 409, "C-TERMINAL"),
        ([filed(state="cancelled")], {"msg_type": MsgType.CANCEL}, 409, "C-TERMINAL"),
    ],
)
def test_a_message_that_may_not_change_what_it_names_is_refused_with_the_rule(known, changes, status, rule):
    message, thread = following(*known, **changes)

    refusal = refusal_of(message, thread)

    (reason,) = refusal.reasons
    assert (refusal.status, reason.rule, reason.level) == (status, rule, "error")
    assert reason.path == "/alert/references"
    assert reason.value.startswith("id-1")
    assert reason.remedy


def test_a_cancel_ends_also_what_has_run_out_of_time_and_an_update_what_has_not():
    cancel, of_old = following(filed(expires_ms=NOW_MS), msg_type=MsgType.CANCEL)
    update, of_new = following(filed(expires_ms=NOW_MS + 1))

    assert decide(cancel, caller(), of_old, NOW_MS).follows == (1,)
    assert decide(update, caller(), of_new, NOW_MS).follows == (1,)


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_alerts_of_two_threads_are_ended_together_in_the_threads_as_they_were_read(msg_type):
    message, thread = following(filed(1), filed(2, thread_id=2), msg_type=msg_type)
    thread = msgspec.structs.replace(thread, seen=(ThreadSeen(1, 7), ThreadSeen(2, 3)))

    decision = decide(message, caller(), thread, NOW_MS)

    assert (decision.follows, decision.threads) == ((1, 2), (ThreadSeen(1, 7), ThreadSeen(2, 3)))
    assert ("C-THREADS", "information") in rules_of(decision)


def test_forks_and_forgotten_alerts_are_told_and_the_later_word_holds():
    first, second = filed(1, state="superseded"), filed(2)
    message, thread = following(first)

    decision = decide(message, caller(), msgspec.structs.replace(thread, members=(first, second)), NOW_MS)

    assert decision.follows == (2,)
    assert {("C-ORDER", "warning"), ("C-SUPERSEDE", "warning")} <= rules_of(decision)


def test_a_latecomer_is_filed_and_says_whose_word_holds():
    first, second = filed(1, state="superseded"), filed(2, sent_ms=milliseconds(ALERT.sent) + 1000)
    message, thread = following(first)

    decision = decide(message, caller(), msgspec.structs.replace(thread, members=(first, second)), NOW_MS)

    assert decision.act is Act.LOG
    (reason,) = decision.problems
    assert (reason.rule, reason.value) == ("C-ORDER", "id-2")


def test_what_names_an_unknown_alert_waits_and_says_for_which():
    message, _ = following(filed())
    thread = Thread(((message.references[0], None),))

    decision = decide(message, caller(), thread, NOW_MS)

    assert decision.act is Act.PARK
    assert [(reason.rule, reason.value) for reason in decision.problems] == [("C-KNOWN", "id-1")]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"status": Status.SYSTEM}, "C-LIVE"),
        ({"status": Status.DRAFT}, "C-LIVE"),
        ({"msg_type": MsgType.ACK}, "C-ACK"),
        ({"msg_type": MsgType.ERROR}, "C-ACK"),
        ({"msg_type": MsgType.CANCEL, "status": Status.DRAFT}, "C-LIVE"),
    ],
)
def test_what_goes_to_nobody_says_by_which_rule(changes, rule):
    decision = decide(replace(ALERT, **changes), caller(), Thread(), NOW_MS)

    assert decision.act is Act.LOG
    assert rules_of(decision) == {(rule, "information")}


def test_a_narrower_scope_is_a_scope_that_an_update_may_have():
    message, thread = following(filed(), scope=Scope.PRIVATE, addresses=("a@b",))

    decision = decide(message, caller(), thread, NOW_MS)

    assert (decision.act, decision.publish) == (Act.LAUNCH, False)


# ---- kind, channels, time ----------------------------------------------------------------------------------------


def test_everything_that_is_amiss_in_what_is_asked_for_is_told_at_once():
    alert = with_parameters(("tocsin:kind", "party"), ("tocsin:channels", "sms fax,pigeon"))

    refusal = refusal_of(alert)

    assert (refusal.status, refusal.code) == (422, "kind-unknown")
    assert [(r.rule, r.path, r.value) for r in refusal.reasons] == [
        ("K-WORD", "/alert/info[1]/parameter[1]/value", "party"),
        ("K-CHANNEL", "/alert/info[1]/parameter[2]/value", "fax"),
        ("K-CHANNEL", "/alert/info[1]/parameter[2]/value", "pigeon"),
    ]
    assert all(reason.remedy for reason in refusal.reasons)


def test_a_kind_that_nothing_names_is_refused_and_one_that_differs_too():
    two = replace(with_parameters(("tocsin:kind", "news")).infos[0], language="nl")
    mixed = replace(ALERT, infos=(ALERT.infos[0], two))

    assert [reason.rule for reason in refusal_of(with_parameters()).reasons] == ["K-NONE"]
    assert [reason.rule for reason in refusal_of(mixed).reasons] == ["K-DIFFER"]


@pytest.mark.parametrize(
    ("parameters", "rule", "level"),
    [
        ((), "K-NONE", "information"),
        ((("tocsin:kind", "party"),), "K-WORD", "warning"),
        ((("tocsin:kind", "news"), ("tocsin:kind", "alert")), "K-DIFFER", "warning"),
    ],
)
def test_an_update_that_says_no_kind_takes_that_of_what_it_names_and_a_cancel_needs_none(parameters, rule, level):
    infos = with_parameters(*parameters).infos
    update, thread = following(filed(), infos=infos)
    cancel, _ = following(filed(), infos=infos, msg_type=MsgType.CANCEL)

    decision = decide(update, caller(), msgspec.structs.replace(thread, kind=Kind.PREVENTIVE), NOW_MS)
    ending = decide(cancel, caller(), thread, NOW_MS)

    assert (decision.act, decision.kind, decision.follows) == (Act.LAUNCH, Kind.PREVENTIVE, (1,))
    [told] = [problem for problem in decision.problems if problem.rule == rule]
    assert told.level == level
    assert told.text.endswith("It takes that of what it names: preventive.")
    assert (ending.act, ending.kind, ending.follows) == (Act.CANCEL, None, (1,))
    assert refusal_of(update, thread).status == 422, "where that is not known, nobody guesses"


@pytest.mark.parametrize("msg_type", [MsgType.UPDATE, MsgType.CANCEL])
def test_a_follow_up_that_asks_for_a_channel_that_there_is_not_goes_by_those_that_there_are(msg_type):
    infos = with_parameters(("tocsin:kind", "alert"), ("tocsin:channels", "sms, pigeon")).infos
    message, thread = following(filed(), infos=infos, msg_type=msg_type)

    decision = decide(message, caller(), thread, NOW_MS)

    assert (decision.kind, decision.channels, decision.follows) == (Kind.ALERT, (Channel.SMS,), (1,))
    assert ("K-CHANNEL", "warning") in rules_of(decision)


def test_an_update_that_comes_too_late_needs_no_kind():
    info = replace(with_parameters().infos[0], expires=ALERT.sent)
    message, thread = following(filed(), infos=(info,))

    decision = decide(message, caller(), thread, NOW_MS)

    assert (decision.act, decision.kind, decision.follows) == (Act.EXPIRED, None, (1,))


def test_an_update_that_says_nothing_ends_what_it_names_and_is_told_to_nobody():
    message, thread = following(filed(), infos=())

    decision = decide(message, caller(), msgspec.structs.replace(thread, kind=Kind.ALERT), NOW_MS)

    assert (decision.act, decision.publish, decision.follows) == (Act.LOG, False, (1,))
    assert decision.note == "It says nothing: kept and sent to nobody. What it updates has ended."
    assert ("I-REQ", "warning") in rules_of(decision)


def test_an_update_that_would_take_effect_later_takes_effect_at_once_and_is_told_so():
    info = replace(ALERT.infos[0], effective=ALERT.sent + timedelta(hours=2), expires=ALERT.sent + timedelta(hours=3))
    message, thread = following(filed(), infos=(info,))

    decision = decide(message, caller(), thread, NOW_MS)

    assert (decision.act, decision.starts_ms, decision.follows) == (Act.LAUNCH, NOW_MS, (1,))
    assert [(r.rule, r.level) for r in decision.problems if r.rule == "C-LATER"] == [("C-LATER", "warning")]


@pytest.mark.parametrize(
    ("known", "rule", "ends"),
    [
        (filed(scope="Private"), "C-SCOPE", (1,)),
        (filed(state="expired"), "C-TERMINAL", ()),
        (filed(state="failed"), "C-TERMINAL", ()),
        (filed(expires_ms=NOW_MS), "C-TERMINAL", ()),
    ],
)
def test_an_update_is_sent_whatever_it_widens_and_although_what_it_names_is_over(known, rule, ends):
    message, thread = following(known)

    decision = decide(message, caller(), thread, NOW_MS)

    assert (decision.act, decision.follows) == (Act.LAUNCH, ends)
    assert (rule, "warning") in {(r.rule, r.level) for r in decision.problems}


@pytest.mark.parametrize(
    ("effective", "expires", "now", "word"),
    [
        (timedelta(0), timedelta(minutes=5), timedelta(minutes=5), "had expired"),
        (timedelta(hours=3), timedelta(hours=2), timedelta(0), "before it takes effect"),
        (timedelta(hours=2), timedelta(hours=2), timedelta(0), "before it takes effect"),
    ],
)
def test_what_is_over_or_can_never_be_is_filed_for_nobody(effective, expires, now, word):
    info = replace(ALERT.infos[0], effective=ALERT.sent + effective, expires=ALERT.sent + expires)

    decision = decide(replace(ALERT, infos=(info,)), caller(), Thread(), milliseconds(ALERT.sent + now))

    assert (decision.act, decision.publish) == (Act.EXPIRED, False)
    assert word in decision.note
    assert ("I-EXPIRED", "warning") in rules_of(decision)


# ---- by a key that only simulates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("msg_type", [MsgType.ALERT, MsgType.UPDATE, MsgType.CANCEL, MsgType.ACK, MsgType.ERROR])
def test_by_a_test_key_nothing_live_is_decided(msg_type):
    """Whatever it would have become: also what is only filed takes an identifier of its sender."""
    message, thread = following(filed(), msg_type=msg_type)
    by = msgspec.structs.replace(caller(), simulates_only=True)

    refusal = refusal_of(message, thread, by)

    assert (refusal.status, refusal.code) == (403, "test-key")
    assert refusal_of(replace(ALERT, sender=OTHER), by=by).code == "sender-not-yours"


@pytest.mark.parametrize("status", [Status.EXERCISE, Status.TEST, Status.SYSTEM])
def test_by_a_test_key_a_simulation_is_decided_as_by_any_other(status):
    by = msgspec.structs.replace(caller(), simulates_only=True)
    message = replace(ALERT, status=status, note="An exercise.")

    assert decide(message, by, ALONE, NOW_MS) == decide(message, caller(), ALONE, NOW_MS)
