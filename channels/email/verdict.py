"""What a reply to each step of a transaction means for the message, and for the relay.

Pure. The one place that tells a recipient's fault from a relay's: a relay that is set up wrongly must never
burn the addresses of a whole campaign.
"""

import re
from enum import Enum, auto

import msgspec

from channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Refused, Throttled
from channels.email.reply import Reply


class Fault(Enum):
    """What the relay itself has, apart from this message."""

    NONE = auto()
    BUSY = auto()
    """It asks for a slower pace."""
    MISCONFIGURED = auto()
    """It will refuse every message alike until a person has changed something."""
    LOST = auto()
    """It and we disagree on where we are, or it is leaving: this connection is over."""


class Verdict(msgspec.Struct, frozen=True):
    outcome: Outcome
    fault: Fault = Fault.NONE
    detail: str = ""
    """For the operator: names no person and no secret."""


_OUT_OF_STEP = frozenset({500, 502, 503})  # "bad sequence" and its kin: about the dialogue, not the message
_NOT_ALLOWED = frozenset({530, 534, 535, 538})  # RFC 4954: authentication missing, too weak or unencrypted
_NO_RELAY = re.compile(r"relay(ing)? (access )?(is )?(denied|not (permitted|allowed))|not (permitted|allowed) to relay")


def on_mail(reply: Reply) -> Verdict | None:
    """MAIL FROM holds nothing of the recipient: whatever is wrong, is wrong with the relay or the pace.
    None: go on."""
    if 200 <= reply.code < 300:
        return None
    if reply.code < 400 or reply.code in _OUT_OF_STEP:
        return _lost("MAIL", reply)
    if reply.code < 500:
        detail = f"the relay asks for a slower pace ({reply.label} to MAIL)"
        return Verdict(Throttled(pause_s=0.0, code=reply.label), Fault.BUSY, detail)
    if reply.code == 552 or reply.enhanced == "5.3.4":  # RFC 1870 6.1: this message is too big
        return Verdict(Refused(reply.label, reply.text))
    return _misconfigured("MAIL", reply)


def on_rcpt(reply: Reply) -> Verdict | None:
    """None: the recipient is taken."""
    if 200 <= reply.code < 300:
        return None
    if reply.code < 400 or reply.code == 421 or reply.code in _OUT_OF_STEP:
        return _lost("RCPT", reply)
    if reply.code in _NOT_ALLOWED or _NO_RELAY.search(reply.text.lower()) is not None:
        return _misconfigured("RCPT", reply)
    return _of_the_message(reply)


def on_data(reply: Reply) -> Verdict | None:
    """None: the body may follow."""
    if reply.code == 354:
        return None
    if reply.code < 400 or reply.code == 421 or reply.code in _OUT_OF_STEP:
        return _lost("DATA", reply)
    return _of_the_message(reply)


def on_dot(reply: Reply) -> Verdict:
    """The only reply that takes a message over (RFC 5321 4.2.5)."""
    if 200 <= reply.code < 300:
        return Verdict(Accepted(text=reply.text))
    if reply.code < 400:
        doubt = InDoubt(f"a reply without meaning to the final dot ({reply.label})")
        return Verdict(doubt, Fault.LOST, doubt.reason)
    if reply.code == 421:  # an answer, so not taken; it costs an attempt, as the message may be what broke it
        return Verdict(Deferred(reply.label, reply.text), Fault.LOST, "the relay closed after a message (421)")
    return _of_the_message(reply)


def _of_the_message(reply: Reply) -> Verdict:
    if reply.code < 500:
        return Verdict(Deferred(reply.label, reply.text))
    return Verdict(Refused(reply.label, reply.text))


def _lost(step: str, reply: Reply) -> Verdict:
    detail = f"the relay broke off the dialogue ({reply.label} to {step})"
    return Verdict(NotSent(detail), Fault.LOST, detail)


def _misconfigured(step: str, reply: Reply) -> Verdict:
    detail = f"the relay refuses us, not the recipient ({reply.label} to {step})"
    return Verdict(NotSent(detail), Fault.MISCONFIGURED, detail)
