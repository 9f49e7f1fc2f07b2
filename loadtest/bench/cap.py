"""How fast CAP is read, on one core, beside other readers in the same run.

Best of several rounds, because what disturbs a measurement only ever makes it slower. The measuring is a process of its
own, `python -m loadtest.bench.cap`, which keeps to one core and prints documents a second by document and reader.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import xmlschema
from lxml import etree

import cap
from cap import rules, safe_xml, xsd
from cap.build import draft
from cap.limits import DEFAULT
from loadtest.bench.figures import Claim, Figure
from loadtest.bench.ground import BenchGround
from loadtest.bench.processes import asked
from loadtest.stage import RunTerms, Stage

TITLE = "CAP documents a second"
ROUNDS = 5
ROUND_S = 0.3
WORST_POINTS = 41_009  # the largest polygon of the real alerts that were looked at
SMALL, WORST = "alert of 1.6 kB", f"{WORST_POINTS:,} points"
OURS = "parse + schema + all rules"
PEERS = ("lxml parse alone", "xmlschema", "capvalidator, schema")

ReadDocument = Callable[[bytes], object]


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
        SMALL: alert(),
        "alert of 100 kB": alert(("nl-BE", "fr-BE", "de-BE", "en-BE"), points=120, words=380),
        WORST: alert(points=WORST_POINTS),
    }


# ---- readers -------------------------------------------------------------------------------------------------


def readers() -> dict[str, ReadDocument]:
    """Ours in its steps, and the others. capvalidator compiles its schema for each document, by design."""
    from capvalidator.validate import Validator  # type: ignore[import-untyped]

    schema = xmlschema.XMLSchema10(BytesIO(xsd.source()), allow="none")
    return {
        "lxml parse alone": etree.fromstring,
        "parse, closed": _tree,
        "parse + schema": lambda document: xsd.is_valid(_tree(document)),
        "parse + schema + values": lambda document: _valued(_tree(document)),
        OURS: cap.read,
        "xmlschema": lambda document: schema.is_valid(etree.fromstring(document)),
        "capvalidator, schema": lambda document: Validator(document.decode()[38:]).schema(),
    }


def _tree(document: bytes) -> etree._Element:
    root = safe_xml.tree(document, DEFAULT)
    assert not isinstance(root, safe_xml.UnreadableDocument), root
    return root


def _valued(root: etree._Element) -> object:
    return xsd.is_valid(root), draft(root)


# ---- measuring -----------------------------------------------------------------------------------------------


def rate(read: ReadDocument, document: bytes, rounds: int = ROUNDS, round_s: float = ROUND_S) -> float:
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.cap", description="How fast CAP is read.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--round-s", type=float, default=ROUND_S)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, and no wandering between two
    print(json.dumps(measured(arguments.rounds, arguments.round_s)))


# ---- the row ---------------------------------------------------------------------------------------------------


async def measure(ground: BenchGround) -> list[Figure]:
    stage = Stage(ground.folder, RunTerms())
    rounds, round_s = (1, 0.05) if ground.quick else (ROUNDS, ROUND_S)
    flags = ("--rounds", str(rounds), "--round-s", str(round_s))
    async with stage.open():
        found = await asked(stage, "cap", sys.executable, "-m", "loadtest.bench.cap", *flags)
    sizes = {name: len(document) for name, document in documents().items()}
    settings = (
        f"{len(rules.RULES)} rules, one core, lxml {etree.__version__}, best of {rounds} rounds of {round_s:g} s; "
        "capvalidator compiles its schema for each document, by design"
    )
    return [
        line
        for number, (name, rates) in enumerate(found.items())
        for line in _lines(name, sizes[name], rates, settings if number == 0 else "")
    ]


def _lines(document: str, size: int, rates: dict[str, float], settings: str) -> Iterator[Figure]:
    ours = rates[OURS]
    beside = tuple(Claim(f"x {reader}", ours / value) for reader, value in rates.items() if reader in PEERS)
    yield Figure(
        what=f"{document}, {OURS}",
        value=ours,
        unit="/s",
        claims=(*_promises(document, ours), *beside),
        settings=f"{size:,} bytes; {settings}" if settings else f"{size:,} bytes",
    )
    for reader, value in rates.items():
        if reader != OURS:
            yield Figure(what=f"{document}, {reader}", value=value, unit="/s")


def _promises(document: str, ours: float) -> tuple[Claim, ...]:
    if document == SMALL:
        return (Claim("/s on one core", ours, 15_000),)
    took = Claim("ms each", 1000 / ours, 20.0 if document == WORST else None, at_most=True)
    return (took,)


if __name__ == "__main__":
    main()
