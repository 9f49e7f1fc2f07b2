"""What a reply to each step of a transaction means for the message, and for the relay.

Pure. The one place that tells a recipient's fault from a relay's: a relay that is set up wrongly must never
burn the addresses of a whole campaign.
"""

import re
from enum import Enum, auto

import msgspec

from channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Refused, Throttled
from channels.email.reply import Reply


class RelayFault(Enum):
    """What the relay itself has, apart from this message."""

    NONE = auto()
    BUSY = auto()
    """It asks for a slower pace."""
    MISCONFIGURED = auto()
    """It will refuse every message alike until a person has changed something."""
    LOST = auto()
    """It and we disagree on where we are, or it is leaving: this connection is over."""


class ReplyVerdict(msgspec.Struct, frozen=True):
    outcome: Outcome
    fault: RelayFault = RelayFault.NONE
    detail: str = ""
    """For the operator: names no person and no secret."""


_OUT_OF_STEP = frozenset({500, 502, 503})  # "bad sequence" and its kin: about the dialogue, not the message
_NOT_ALLOWED = frozenset({530, 534, 535, 538})  # RFC 4954: authentication missing, too weak or unencrypted
_OURS = frozenset(
    {
        # RFC 3463, 3.2 and 3.8, RFC 4954 and RFC 7372: the sender's address or domain, its credentials, its SPF, its
        # host's name, its DKIM and DMARC; and what Exchange says of a sender.
        *("5.1.7", "5.1.8", "4.1.7", "4.1.8", "5.7.8", "4.7.8", "5.7.9", "5.7.11", "5.7.23", "4.7.23"),
        *("5.7.25", "4.7.25", "5.7.26", "4.7.26", "5.7.27", "5.7.57", "5.7.60", "5.2.252", "5.7.54"),
    }
)
_OUR_PHRASES = (
    # That we may not send through it.
    r"relay(ing)? (access )?(is )?(denied|prohibited|not (permitted|allowed))",
    r"not (permitted|allowed|authori[sz]ed) to (relay|send)",
    r"unable to relay",
    r"rcpthosts",
    # Our return path, or the domain of it.
    r"sender (address |domain )?(is )?(rejected|not allowed|not permitted|refused|denied|invalid|blocked)",
    r"sender verif",
    r"not owned by user",
    r"not authori[sz]ed as sender",
    r"send(ing)? ?as (denied|this sender)",
    r"(from|envelope) address (is )?(not |rejected|denied)",
    r"\b(spf|dkim|dmarc)\b",
    # Our host.
    r"(ehlo|helo)\b.*(rejected|invalid|denied|required|fqdn|fully)",
    r"(rejected|invalid) (ehlo|helo)",
    r"client host\b.*(rejected|blocked)",
    r"(your|sending) (ip|host|server|domain)\b.*(block|listed|blacklist|rejected|denied|banned)",
    r"(blocked|rejected|listed) (using|by|in|at|on) \S+\.[a-z]{2,}",
    r"(dnsbl|spamhaus|spamcop|barracuda|blacklist|blocklist)",
    r"your (reverse )?hostname",
    r"reverse (dns|hostname|lookup)",
    r"\bptr\b",
    # Our log-in.
    r"authenticat(ion|e)\b.*(required|first|needed)",
    r"(must|need to|please) (first )?(authenticate|log ?in|issue a starttls)",
    r"starttls\b.*(first|required)",
    r"(encryption|tls) (is )?required",
    r"pop before smtp",
    # What our account may send.
    r"(sending|daily|hourly) (message |mail |sending )?(quota|limit)",
    r"(account|user) (has been |is )?suspended for sending",
)
_OUR_WORDS = re.compile("|".join(_OUR_PHRASES))
_ADDRESS = re.compile(r"<[^<>]*>|\S+@\S+")
"""What relays say to a sender that they refuse, whoever the recipient is. Words that may be about either are left out:
`gateway.dispatch` tells them by whom they are said to."""


def on_mail(reply: Reply) -> ReplyVerdict | None:
    """MAIL FROM holds nothing of the recipient: whatever is wrong, is wrong with the relay or the pace.
    None: go on."""
    if 200 <= reply.code < 300:
        return None
    if reply.code < 400 or reply.code in _OUT_OF_STEP:
        return _lost("MAIL", reply)
    if reply.code < 500:
        detail = f"the relay asks for a slower pace ({reply.label} to MAIL)"
        return ReplyVerdict(Throttled(pause_s=0.0, code=reply.label), RelayFault.BUSY, detail)
    if reply.code == 552 or reply.enhanced == "5.3.4":  # RFC 1870 6.1: this message is too big
        return ReplyVerdict(Refused(reply.label, reply.text))
    return _misconfigured("MAIL", reply)


def on_rcpt(reply: Reply) -> ReplyVerdict | None:
    """None: the recipient is taken."""
    if 200 <= reply.code < 300:
        return None
    if reply.code < 400 or reply.code == 421 or reply.code in _OUT_OF_STEP:
        return _lost("RCPT", reply)
    return _of_the_message("RCPT", reply)


def on_data(reply: Reply) -> ReplyVerdict | None:
    """None: the body may follow."""
    if reply.code == 354:
        return None
    if reply.code < 400 or reply.code == 421 or reply.code in _OUT_OF_STEP:
        return _lost("DATA", reply)
    return _of_the_message("DATA", reply)


def on_dot(reply: Reply) -> ReplyVerdict:
    """The only reply that takes a message over (RFC 5321 4.2.5)."""
    if 200 <= reply.code < 300:
        return ReplyVerdict(Accepted(text=reply.text))
    if reply.code < 400:
        doubt = InDoubt(f"a reply without meaning to the final dot ({reply.label})")
        return ReplyVerdict(doubt, RelayFault.LOST, doubt.reason)
    if reply.code == 421:  # an answer, so not taken; it costs an attempt, as the message may be what broke it
        return ReplyVerdict(
            Deferred(reply.label, reply.text), RelayFault.LOST, "the relay closed after a message (421)"
        )
    return _of_the_message("the message", reply)


def _of_the_message(step: str, reply: Reply) -> ReplyVerdict:
    """Most relays tell at RCPT, or after the message, what they have against us (Postfix: `smtpd_delay_reject`)."""
    if reply.code in _NOT_ALLOWED or reply.enhanced in _OURS or _is_ours(reply.text):
        return _misconfigured(step, reply)
    if reply.code < 500:
        return ReplyVerdict(Deferred(reply.label, reply.text))
    return ReplyVerdict(Refused(reply.label, reply.text))


def _is_ours(text: str) -> bool:
    """An address that is quoted says nothing: anybody may be called spf@example.org."""
    return _OUR_WORDS.search(_ADDRESS.sub("", text.lower())) is not None


def _lost(step: str, reply: Reply) -> ReplyVerdict:
    detail = f"the relay broke off the dialogue ({reply.label} to {step})"
    return ReplyVerdict(NotSent(detail), RelayFault.LOST, detail)


def _misconfigured(step: str, reply: Reply) -> ReplyVerdict:
    detail = f"the relay refuses us, not the recipient ({reply.label} to {step})"
    return ReplyVerdict(NotSent(detail), RelayFault.MISCONFIGURED, detail)
