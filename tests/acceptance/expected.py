"""Who should get what, worked out once more from the seed file in plain Python: the oracle of the acceptance tests.

It shares no line with the gateway's resolver: dictionaries and loops, one person after the other.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]
CHANNELS = ("sms", "email", "voice")
FALLBACK = ("nl", "fr", "de", "en")


@dataclass(slots=True)
class Expected:
    """One zone's part."""

    resolved: set[str] = field(default_factory=set)
    """References of members."""
    excluded: dict[str, str] = field(default_factory=dict)
    """reference -> reason."""
    deliveries: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """channel -> address -> (reference, language)."""
    covered: dict[str, dict[str, str]] = field(default_factory=dict)
    """channel -> reference -> reason."""
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)

    def addresses(self, channel: str) -> set[str]:
        return set(self.deliveries.get(channel, ()))

    def names(self) -> set[tuple[str, str, str]]:
        """(channel, address, language) of every delivery."""
        return {(c, a, lang) for c, found in self.deliveries.items() for a, (_, lang) in found.items()}


def expect(
    seed: Sequence[Line],
    networks: Collection[str],
    *,
    kind: str = "alert",
    channels: Sequence[str] = CHANNELS,
    languages: Sequence[str] = ("nl", "fr"),
    unavailable: Collection[str] = (),
    zones: Collection[str] | None = None,
) -> dict[str, Expected]:
    """zone -> what its members of these networks get. A number or mailbox is reached once a channel over all zones."""
    reached: set[tuple[str, str]] = set()
    found: dict[str, Expected] = {}
    for zone in (e["code"] for e in seed if e["type"] == "zone"):
        if zones is not None and zone not in zones:
            continue
        mine = found[zone] = Expected()
        here: set[tuple[str, str]] = set()
        for member in _last_versions(seed, zone):
            if not {n["code"] for n in member.get("networks", ())} & set(networks):
                continue
            _place(mine, member, kind, channels, languages, unavailable, here, reached)
        reached |= here
    return {zone: one for zone, one in found.items() if one.resolved}


def _place(
    mine: Expected,
    member: Line,
    kind: str,
    channels: Sequence[str],
    languages: Sequence[str],
    unavailable: Collection[str],
    here: set[tuple[str, str]],
    elsewhere: set[tuple[str, str]],
) -> None:
    who = member["reference"]
    mine.resolved.add(who)
    opted_out = kind != "alert" and kind in member.get("opt_outs", ())
    included = False
    for channel in channels:
        address = address_of(member, channel)
        if opted_out or channel in unavailable or address is None:
            why = "opted_out" if opted_out else "no_channel" if channel in unavailable else "no_contact"
            mine.skipped.setdefault(channel, {})[who] = why
            continue
        included = True
        if (channel, address) in elsewhere:
            mine.covered.setdefault(channel, {})[who] = "other_zone"
        elif (channel, address) in here:
            mine.covered.setdefault(channel, {})[who] = "same_address"
        else:
            here.add((channel, address))
            mine.deliveries.setdefault(channel, {})[address] = (who, language_of(member, languages))
    if not included:
        mine.excluded[who] = "opted_out" if opted_out else "no_contact"


def _last_versions(seed: Sequence[Line], zone: str) -> list[Line]:
    """A member's last line counts, in the order of the first ones."""
    members: dict[str, Line] = {}
    for line in seed:
        if line["type"] == "member" and line["zone"] == zone:
            members[line["reference"]] = line
    return list(members.values())


def address_of(member: Line, channel: str) -> str | None:
    """SMS to the first mobile; calls to the first mobile, else the first landline; mail to the first mailbox."""
    by_type: dict[str, str] = {}
    for contact in member.get("contacts", ()):
        by_type.setdefault(contact["type"], contact["value"])
    if channel == "email":
        local, _, domain = by_type["email"].rpartition("@") if "email" in by_type else ("", "", "")
        return f"{local}@{domain.lower()}" if local else None
    number = by_type.get("mobile") or (by_type.get("landline") if channel == "voice" else None)
    return international(number) if number else None


def international(number: str) -> str:
    digits = "".join(c for c in number if c.isdigit())
    return f"+32{digits[1:]}" if digits.startswith("0") else f"+{digits}"


def language_of(member: Line, languages: Sequence[str]) -> str:
    """The member's own if there is a text in it, else the first of the zone's order."""
    own = member.get("language") or "nl"
    return next(lang for lang in (own, *FALLBACK, *languages) if lang in languages)
