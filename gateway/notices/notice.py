"""A notice as whoever tells it says it: its subject, whom it goes to, the facts that its words need."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import msgspec

from channels.contract import Channel, Mode

NoticeLanguage = Literal["nl", "fr", "de", "en"]
LANGUAGES: tuple[NoticeLanguage, ...] = ("nl", "fr", "de", "en")
Fact = str | Mapping[str, str]
"""A word for every language, or one word by language."""
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class NoticeSubject(StrEnum):
    INVITATION = "invitation"
    RESET = "reset"
    APPROVAL = "approval"
    OWN_DATA = "own-data"
    ALARM = "alarm"
    LOW_BALANCE = "low-balance"
    CAMPAIGN_ENDED = "campaign-ended"
    BREAK_GLASS = "break-glass"
    SECURITY = "security"


class NoticeAddress(msgspec.Struct, frozen=True):
    channel: Channel
    address: str
    """A mailbox, or E.164 with its plus sign; normalised."""
    language: str
    """What is not nl, fr, de or en is told in English."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    subject: NoticeSubject
    to: tuple[NoticeAddress, ...]
    facts: Mapping[str, Fact]
    """Those of `SUBJECTS`, no more and no fewer. A link is whole; what others have written stands in quotes of its own
    and is never a link that can be followed."""
    urgent: bool = False
    """Of an approval: it is about an alert, and goes as urgently as one."""
    dedupe: str | None = None
    """Of its subject, what is told under this key is told once, for ever. No secret and no address: it stays."""
    zone: str = ""
    """Code of the zone whose helpdesk is named; empty: the platform's."""
    mode: Mode = Mode.LIVE
    bounded: bool = True
    """False: it is never held back. Whoever tells it is bounded otherwise, and silence would be taken for consent."""


class SubjectRules(msgspec.Struct, frozen=True):
    facts: frozenset[str]
    life_ms: int
    """How long it may still be sent: what it is about is over then."""
    coalesces: bool
    """Of what an address was told too often the number is told as soon as it may be; else the next one has it, as a
    newer link takes the place of those that were held back."""


def _rules(*facts: str, life_ms: int = _DAY_MS, coalesces: bool = True) -> SubjectRules:
    return SubjectRules(frozenset(facts), life_ms, coalesces)


SUBJECTS: Mapping[NoticeSubject, SubjectRules] = MappingProxyType(
    {
        NoticeSubject.INVITATION: _rules("by", "link", "until", life_ms=7 * _DAY_MS, coalesces=False),
        NoticeSubject.RESET: _rules("link", "until", life_ms=_HOUR_MS // 2, coalesces=False),
        NoticeSubject.APPROVAL: _rules("what", "by", "link", "until"),
        NoticeSubject.OWN_DATA: _rules("link", "until", coalesces=False),
        NoticeSubject.ALARM: _rules("what", "since"),
        NoticeSubject.LOW_BALANCE: _rules("zone", "balance"),
        NoticeSubject.CAMPAIGN_ENDED: _rules("title", "reached", "not_reached"),
        NoticeSubject.BREAK_GLASS: _rules("by", "zone", "reason", "when"),
        NoticeSubject.SECURITY: _rules("what", "when"),
    }
)
"""One row a subject; nothing else decides any of it."""
