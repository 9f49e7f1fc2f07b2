"""How a call can end, and what that means to the outbox."""

import pytest

from channels.contract import Accepted, Deferred, NotSent, ReceiptState, Refused
from channels.voice.ending import ANSWERED, WORTH_ANOTHER_TRY, Ending, outcome


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("confirmed", Accepted),
        ("heard", Accepted),
        ("heard-part", Accepted),
        ("voicemail", Accepted),
        ("busy", Deferred),
        ("no-answer", Deferred),
        ("unreachable", Deferred),
        ("congestion", Deferred),
        ("rejected", Refused),
        ("bad-number", Refused),
        ("failed", Refused),
        ("cancelled", NotSent),
    ],
)
def test_every_ending_has_its_outcome(ending, kind):
    assert isinstance(outcome(Ending(ending)), kind)


def test_the_word_is_the_code_of_what_is_not_answered():
    assert outcome(Ending.BUSY, "486") == Deferred("busy", "486")
    assert outcome(Ending.BAD_NUMBER) == Refused("bad-number", "")


def test_only_who_heard_it_to_the_end_is_ever_shown_as_delivered():
    delivered = {ending for ending, state in ANSWERED.items() if state is ReceiptState.DELIVERED}

    assert delivered == {Ending.CONFIRMED, Ending.HEARD}


def test_what_a_voicemail_took_and_a_bad_number_are_never_called_again():
    assert not WORTH_ANOTHER_TRY & {Ending.VOICEMAIL, Ending.BAD_NUMBER, Ending.HEARD, Ending.HEARD_PART}
