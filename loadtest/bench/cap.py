"""How fast CAP is read, on one core, beside other readers in the same run: `python -m loadtest.bench_cap`.

The figures of a shared machine swing; the ratios of one run hold. Best of several rounds, because what disturbs a
measurement only ever makes it slower. Nothing is asserted: a benchmark is read, a test is passed.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import xmlschema
from lxml import etree

import cap
from cap import parse, rules, xsd
from cap.build import draft
from cap.limits import DEFAULT

ROUNDS = 5
ROUND_S = 0.4
WORST_POINTS = 41_009  # the largest polygon of the real alerts that were looked at

Read = Callable[[bytes], object]


# ---- documents -----------------------------------------------------------------------------------------------

_ALERT = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>zone-a.2026.0417</identifier>
  <sender>dispatch@zone-a.example</sender>
  <sent>2026-04-17T21:40:00+02:00</sent>
  <status>Actual</status>
  <msgType>Alert</msgType>
  <scope>Restricted</scope>
  <restriction>Members of the networks named</restriction>
{infos}</alert>
"""
_INFO = """  <info>
    <language>{language}</language>
    <category>Security</category>
    <event>Verdachte personen</event>
    <responseType>Monitor</responseType>
    <urgency>Immediate</urgency>
    <severity>Moderate</severity>
    <certainty>Observed</certainty>
    <effective>2026-04-17T21:40:00+02:00</effective>
    <expires>2026-04-18T02:00:00+02:00</expires>
    <senderName>Politiezone A</senderName>
    <headline>Twee personen proberen deuren in de Kerkstraat</headline>
    <description>{description}</description>
    <instruction>Bel 101 als u hen ziet. Spreek hen niet aan en volg hen niet.</instruction>
    <contact>101</contact>
    <parameter>
      <valueName>tocsin:kind</valueName>
      <value>alert</value>
    </parameter>
    <area>
      <areaDesc>Kerkstraat en omgeving</areaDesc>
      <polygon>{polygon}</polygon>
      <geocode>
        <valueName>PLP</valueName>
        <value>PLP-A-KERK</value>
      </geocode>
    </area>
  </info>
"""
_WORDS = "Twee personen in donkere kleding lopen van deur tot deur. "


def ring(points: int) -> str:
    """A closed ring of so many points, in and out like a real boundary, none of its sides crossing another."""
    corners = []
    for n in range(points - 1):
        turn, far = 2 * math.pi * n / (points - 1), 1 - 0.3 * (n % 2)
        corners.append(f"{51 + 0.4 * far * math.sin(turn):.6f},{4 + 0.6 * far * math.cos(turn):.6f}")
    return " ".join([*corners, corners[0]])


def alert(language: Sequence[str] = ("nl-BE",), points: int = 9, words: int = 2) -> bytes:
    """An alert to neighbourhood networks, in these languages."""
    polygon, description = ring(points), (_WORDS * words).strip()
    infos = (_INFO.format(language=code, description=description, polygon=polygon) for code in language)
    return _ALERT.format(infos="".join(infos)).encode()


def documents() -> dict[str, bytes]:
    """The three of the promise: an everyday alert, a long one in four languages, the worst shape."""
    return {
        "alert of 1.6 kB": alert(),
        "alert of 100 kB": alert(("nl-BE", "fr-BE", "de-BE", "en-BE"), points=120, words=380),
        f"{WORST_POINTS:,} points": alert(points=WORST_POINTS),
    }


# ---- readers -------------------------------------------------------------------------------------------------


def readers() -> dict[str, Read]:
    """Ours in its steps, and the others. capvalidator compiles its schema for each document, by design."""
    from capvalidator.validate import Validator

    schema = xmlschema.XMLSchema10(BytesIO(xsd.source()), allow="none")
    return {
        "lxml parse alone": etree.fromstring,
        "parse, closed": _tree,
        "parse + schema": lambda document: xsd.is_valid(_tree(document)),
        "parse + schema + values": lambda document: _valued(_tree(document)),
        "parse + schema + all rules": cap.read,
        "xmlschema": lambda document: schema.is_valid(etree.fromstring(document)),
        "capvalidator, schema": lambda document: Validator(document.decode()[38:]).schema(),
    }


def _tree(document: bytes) -> etree._Element:
    root = parse.tree(document, DEFAULT)
    assert not isinstance(root, parse.Refused), root
    return root


def _valued(root: etree._Element) -> object:
    return xsd.is_valid(root), draft(root)


# ---- measuring -----------------------------------------------------------------------------------------------


def rate(read: Read, document: bytes, rounds: int = ROUNDS, round_s: float = ROUND_S) -> float:
    """Documents a second: the best of the rounds."""
    read(document)
    best = 0.0
    for _ in range(rounds):
        count, start = 0, time.perf_counter()
        until = start + round_s
        while (now := time.perf_counter()) < until:
            read(document)
            count += 1
        best = max(best, count / (now - start))
    return best


def measured(rounds: int, round_s: float) -> dict[str, dict[str, float]]:
    """By document, by reader: documents a second."""
    found: dict[str, dict[str, float]] = {}
    for name, document in documents().items():
        reading = cap.read(document)
        assert reading.accepted, reading.problems
        found[name] = {reader: rate(read, document, rounds, round_s) for reader, read in readers().items()}
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """One row a reader: documents a second, milliseconds each, and the ratio to all our rules."""
    lines = []
    for name, rates in found.items():
        size = len(documents()[name])
        lines.append(f"{name} ({size:,} bytes)")
        ours = rates["parse + schema + all rules"]
        for reader, value in rates.items():
            lines.append(f"  {reader:28}{value:>12,.0f}/s{1000 / value:>11,.3f} ms{value / ours:>9.2f}x")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench_cap", description="How fast CAP is read, beside others.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--round-s", type=float, default=ROUND_S)
    arguments = parser.parse_args(argv)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, and no wandering between two
    found = measured(arguments.rounds, arguments.round_s)
    print(f"{len(rules.RULES)} rules, Python {sys.version.split()[0]}, lxml {etree.__version__}, one core")
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps({"documents_per_s": found, "rules": len(rules.RULES)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
