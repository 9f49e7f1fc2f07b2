"""CAP 1.2 documents as dispatch centres post them, and broken ones as they should never: pure, made from values."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

SENDER = "cic@police.example"
_ALERT = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>{identifier}</identifier>
  <sender>{sender}</sender>
  <sent>{sent}</sent>
  <status>Actual</status>
  <msgType>{msg_type}</msgType>
  <scope>Public</scope>
{references}{infos}</alert>
"""
_INFO = """  <info>
    <language>{language}</language>
    <category>Security</category>
    <event>{event}</event>
    <responseType>Monitor</responseType>
    <urgency>Immediate</urgency>
    <severity>Moderate</severity>
    <certainty>Observed</certainty>
    <expires>{expires}</expires>
    <senderName>CIC load test</senderName>
    <headline>{headline}</headline>
    <description>{description}</description>
    <instruction>{instruction}</instruction>
    <contact>101</contact>
    <parameter><valueName>tocsin:kind</valueName><value>alert</value></parameter>
    <parameter><valueName>tocsin:channels</valueName><value>{channels}</value></parameter>
    {area}
  </info>
"""
_WORDS = (
    ("nl-BE", "Inbraak", "verdachte bestelwagen", "Grijze bestelwagen, drie inzittenden.", "Bel 101, grijp niet in."),
    ("fr-BE", "Cambriolage", "camionnette suspecte", "Camionnette grise, trois occupants.", "Appelez le 101."),
)


def new_mark(draw: random.Random) -> str:
    """A mark by which the sinks know a campaign (`loadtest.arrivals.MARK`)."""
    return f"NR{draw.getrandbits(32):08X}"


def reference(identifier: str, sent: str, sender: str = SENDER) -> str:
    """CAP-v1.2 3.2.1: sender,identifier,sent."""
    return f"{sender},{identifier},{sent}"


def area_of(name: str, ring: Sequence[Sequence[float]]) -> str:
    points = " ".join(f"{lat},{lon}" for lat, lon in ring)
    return f"<area><areaDesc>{name}</areaDesc><polygon>{points}</polygon></area>"


def plp(network: str) -> str:
    return (
        f"<area><areaDesc>{network}</areaDesc><geocode><valueName>PLP</valueName>"
        f"<value>{network}</value></geocode></area>"
    )


def moment(instant: datetime) -> str:
    """CAP-v1.2 3.3.2: whole seconds, UTC written -00:00."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S-00:00")


def alert(
    identifier: str,
    mark: str,
    area: str,
    *,
    msg_type: str = "Alert",
    references: str = "",
    channels: str = "sms email",
    now: datetime | None = None,
) -> bytes:
    """`mark` stands in the headline of every language; `area` is an <area> element."""
    now = now or datetime.now(UTC)
    infos = "".join(
        _INFO.format(
            language=language,
            event=event,
            expires=moment(now + timedelta(hours=2)),
            headline=f"{mark} {headline}",
            description=description,
            instruction=instruction,
            channels=channels,
            area=area,
        )
        for language, event, headline, description, instruction in _WORDS
    )
    named = f"  <references>{references}</references>\n" if references else ""
    text = _ALERT.format(
        identifier=identifier, sender=SENDER, sent=moment(now), msg_type=msg_type, references=named, infos=infos
    )
    return text.encode()


def broken(draw: random.Random, whole: bytes) -> bytes:
    """One of the ways in which a document is wrong: cut off, another schema, words that are none, a DTD."""
    ways = (
        whole[: len(whole) * 2 // 3],
        whole.replace(b"<status>Actual</status>", b""),
        whole.replace(b"<urgency>Immediate</urgency>", b"<urgency>Soon</urgency>"),
        whole.replace(b"cap:1.2", b"cap:1.1"),
        whole.replace(b"?>\n", b'?>\n<!DOCTYPE alert [<!ENTITY a "aaaa">]>\n', 1),
        b"not xml at all",
        whole.replace(b"-00:00</sent>", b"Z</sent>"),
    )
    return draw.choice(ways)
