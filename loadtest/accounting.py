"""Every person of every campaign, as the gateway's pages tell them, held against what arrived at the sinks.

One message that was told and did not arrive, that arrived and was not told, at another address than was told, or
twice without having been told as sent again, is a finding. What happened to a message between two sinks' counters is
not guessed at.
"""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from loadtest.arrivals import Arrivals, head_of, mark_of

_MUST_HAVE_ARRIVED = ("accepted", "delivered")
_SHOWN = 10


@dataclass(slots=True)
class Disagreements:
    """What does not agree, and how much was compared."""

    campaigns: int = 0
    deliveries: int = 0
    states: Counter[str] = field(default_factory=Counter)
    """`channel state` -> deliveries."""
    missing: int = 0
    """Told as taken by a carrier, and no sink has it."""
    never_told: int = 0
    """At a sink, and told as never sent, or of no campaign at all."""
    doubled: int = 0
    """At a sink more often than it was told to have been tried, or taken twice without a word of it."""
    again: int = 0
    """At a sink more than once, and told to have been sent again after doubt: the price of losing nobody."""
    called_again: int = 0
    """Calls after the first to somebody who was busy or did not answer: as it should be."""
    unfinished: int = 0
    """Still queued or waiting to be tried again at the end."""
    in_doubt: int = 0
    """Told as unknown at the end: handed to a carrier that never said what became of it."""
    reports_off: int = 0
    """Reports whose sums do not close, or that count otherwise than their pages."""
    examples: list[str] = field(default_factory=list)

    @property
    def unaccounted(self) -> int:
        return self.missing + self.never_told + self.doubled + self.reports_off

    def __iadd__(self, other: "Disagreements") -> "Disagreements":
        """With those of another run: as if it had been one."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        self.examples = self.examples[:_SHOWN]
        return self

    def note(self, text: str) -> None:
        if len(self.examples) < _SHOWN:
            self.examples.append(text)


def sms_heads(page: dict[str, Any]) -> frozenset[str]:
    """What the texts of a campaign's SMS begin with, by its page: at the sink they are known by that."""
    return frozenset(head_of(t["content"]["text"]) for t in page["texts"] if t["channel"] == "sms")


class Accounting:
    """Give it every delivery of every campaign, then `close`."""

    def __init__(self, sms: Arrivals, email: Arrivals, voice: Arrivals) -> None:
        self.findings = Disagreements(never_told=sms.strange + email.strange + voice.strange)
        self._sms = Counter(sms.by_address)
        self._by_delivery = {"email": Counter(email.by_delivery), "voice": Counter(voice.by_delivery)}

    def campaign(self, internal_id: int, page: dict[str, Any]) -> "CampaignAccount":
        """`internal_id` is the store's own number of it: references on the wire bear that one."""
        self.findings.campaigns += 1
        return CampaignAccount(self, internal_id, mark_of(page["title"]), sms_heads(page))

    def take(self, internal_id: int, heads: frozenset[str], line: dict[str, Any]) -> int:
        """How often it arrived; each arrival is taken once."""
        if line["channel"] == "sms":
            return sum(self._sms.pop((head, line["address"]), 0) for head in heads)
        delivery = (internal_id << 24) + line["id"] - 1
        return self._by_delivery[line["channel"]].pop((delivery, line["address"]), 0)

    def close(self) -> Disagreements:
        """Ends the account: what is left at the sinks was told of nobody, and each of it is a finding."""
        left = Counter({f"sms {key}": n for key, n in self._sms.items()})
        for channel, counted in self._by_delivery.items():
            left.update({f"{channel} delivery {key:x} to {address}": n for (key, address), n in counted.items()})
        for key, n in left.items():
            self.findings.never_told += n
            self.findings.note(f"{key} arrived {n} times and is nobody's")
        return self.findings


class CampaignAccount:
    """The persons of one campaign, one delivery after another."""

    def __init__(self, accounting: Accounting, internal_id: int, mark: str, heads: frozenset[str]) -> None:
        self._accounting = accounting
        self._id, self._mark, self._heads = internal_id, mark, heads
        self._states: Counter[tuple[str, str]] = Counter()

    def delivery(self, line: dict[str, Any], *, resent: bool = False) -> None:
        """`resent`: the report says that some of this channel were sent again after doubt."""
        findings, state, channel = self._accounting.findings, line["state"], line["channel"]
        arrived = self._accounting.take(self._id, self._heads, line)
        self._states[channel, state] += 1
        findings.deliveries += 1
        findings.states[f"{channel} {state}"] += 1
        most = line["attempts"] if channel == "voice" or resent else min(1, line["attempts"])
        if state in _MUST_HAVE_ARRIVED and not arrived:
            findings.missing += 1
            findings.note(f"{self._mark} {channel} {line['id']}: {state}, and no sink has it")
        elif arrived and not line["attempts"]:
            findings.never_told += arrived
            findings.note(f"{self._mark} {channel} {line['id']}: {state}, never tried, arrived {arrived} times")
        elif arrived > most:
            findings.doubled += arrived - most
            findings.note(f"{self._mark} {channel} {line['id']}: {line['attempts']} attempts, arrived {arrived} times")
        elif arrived > 1 and resent:
            findings.again += arrived - 1
        elif arrived > 1:
            findings.called_again += arrived - 1
        findings.unfinished += state in ("queued", "retry")
        findings.in_doubt += state == "unknown"

    def report(self, report: dict[str, Any]) -> None:
        """The report must close its sums and count as its pages do."""
        findings = self._accounting.findings
        told: Counter[tuple[str, str]] = Counter()
        for line in report["deliveries"]:
            told[line["channel"], line["state"]] += line["deliveries"]
        if not report["sums_close"] or told != self._states:
            findings.reports_off += 1
            closes = "closes" if report["sums_close"] else "does not close"
            findings.note(f"{self._mark}: the report {closes}; {dict(told - self._states)} more than its pages say")
