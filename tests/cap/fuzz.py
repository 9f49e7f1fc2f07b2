"""Damages CAP documents for a given time and watches the reader: `python -m tests.cap.fuzz --seconds 60 [--seed N]`.

The reader runs in a child, so that a crash inside libxml2 is a finding and not the end of the search. A document
that crashes, raises, takes too long or is accepted and not read back as it was is kept in a file and named.
"""

import argparse
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from lxml import etree

from tests.cap.documents import BASE, INFO, POLYGON, SIGNATURE, TRIPLE, changed, inserted

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 0.5  # for one document, on a machine that does other things too
STUCK_SECONDS = 20

SOURCES = (
    BASE.encode(),
    inserted(SIGNATURE, before="</alert>"),
    inserted(INFO.replace("fr-BE", "nl-BE"), before="</alert>"),
    inserted(f"<references>{TRIPLE}</references>", before="  <info>"),
    inserted('<addresses>"a b" c</addresses>', before="  <code>"),
    changed(("UTF-8", "UTF-16")).decode().encode("utf-16"),
    BASE.replace("cap:1.2", "cap:1.1").encode(),
    BASE.replace("urn:oasis:names:tc:emergency:cap:1.2", "http://www.incident.com/cap/1.0").encode(),
    (
        '<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"><embeddedXMLContent>'
        + BASE.split("\n", 1)[1]
        + "</embeddedXMLContent></EDXLDistribution>"
    ).encode(),
    BASE.replace("<alert", '<!DOCTYPE alert [<!ENTITY e "x">]><alert').encode(),
)
PIECES = (
    b"<", b">", b"&", b"]]>", b"<!--", b"-->", b"<?x?>", b"<![CDATA[", b"&#0;", b"&#x10FFFF;", b"\x00", b"\xff\xfe",
    b"&e;", b"xmlns=''", b"99999999999999999999", b"-", b"+00:00", b"24:00:00", b"\xc2\xa0", b"NaN", b"\"", b"'",
    b"<info/>", b"</info>", b"<alert>", b"<area><areaDesc/></area>", b"<Signature/>", b" ", b",", b"\n",
)  # fmt: skip

# Answers each line of hexadecimal digits with a word, the seconds it took, and what was wrong.
CHILD = """
import sys, time
from datetime import UTC, datetime
from cap import ReadingTerms, explain, read, write
from cap.answer import error, heading
from cap.edxl import unwrap
from cap.profile import NAMES, profile
from cap.signing import Standing, verify
from cap.trust import Trust
explain.ready()
USUAL = ReadingTerms()
LAX = ReadingTerms(versions=frozenset(("1.0", "1.1", "1.2")), profiles=tuple(map(profile, NAMES)))
for number, line in enumerate(sys.stdin):
    document = bytes.fromhex(line)
    start = time.perf_counter()
    try:
        reading = read(document, terms=LAX if number % 2 else USUAL)
        named = heading(document)
        if named is not None:
            write(error(named, (), sender="x", at=datetime(2026, 1, 1, tzinfo=UTC)))
        envelope = unwrap(document)
        for enclosed in envelope.alerts if envelope else ():
            read(enclosed.document)
        assert verify(document, Trust(), datetime(2026, 1, 1, tzinfo=UTC)).standing is not Standing.VERIFIED
        word, said = ("accepted" if reading.accepted else "refused"), "-"
        seconds = time.perf_counter() - start
        if not reading.accepted and not reading.problems:
            said = "refused without a reason"
        elif reading.accepted and '"' not in "".join(reading.alert.addresses + reading.alert.incidents):
            again = read(write(reading.alert))
            if again.alert != reading.alert:
                said = "not read back as it was"
    except Exception as exc:
        word, said, seconds = "raised", repr(exc), 0.0
    print(word, f"{seconds:.6f}", said.replace(chr(10), " "), flush=True)
"""

Change = Callable[[random.Random, bytes], bytes]


def cut(chance: random.Random, document: bytes) -> bytes:
    start = chance.randrange(len(document) + 1)
    return document[:start] + document[start + chance.choice((1, 2, 5, 30, 200)) :]


def put(chance: random.Random, document: bytes) -> bytes:
    start = chance.randrange(len(document) + 1)
    return document[:start] + chance.choice(PIECES) * chance.choice((1, 1, 1, 3, 500)) + document[start:]


def flip(chance: random.Random, document: bytes) -> bytes:
    damaged = bytearray(document or b"x")
    for _ in range(chance.choice((1, 1, 3, 20))):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def repeat(chance: random.Random, document: bytes) -> bytes:
    start = chance.randrange(len(document) + 1)
    piece = document[start : start + chance.choice((3, 20, 300))]
    return document[:start] + piece * chance.choice((2, 10, 400)) + document[start:]


def join(chance: random.Random, document: bytes) -> bytes:
    other = chance.choice(SOURCES)
    return document[: chance.randrange(len(document) + 1)] + other[chance.randrange(len(other)) :]


def reshape(chance: random.Random, document: bytes) -> bytes:
    """A well-formed change: an element moved, doubled, emptied, or given another's text."""
    try:
        root = etree.fromstring(document, etree.XMLParser(resolve_entities=False))
    except (etree.XMLSyntaxError, ValueError, LookupError):
        return document
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    one, other = chance.choice(elements), chance.choice(elements)
    if chance.random() < 0.5:
        one.text = chance.choice((other.text, "", POLYGON * 40, "9" * 400, " "))
    elif one not in list(other.iterancestors()) and one is not other:
        other.append(one)
    return etree.tostring(root)


CHANGES: tuple[Change, ...] = (cut, put, flip, repeat, join, reshape, reshape)


def damaged(chance: random.Random) -> bytes:
    """One document with one to four kinds of damage."""
    document = chance.choice(SOURCES)
    for _ in range(chance.randint(1, 4)):
        document = chance.choice(CHANGES)(chance, document)[:200_000]
    return document


def search(seconds: float, seed: int, keep: Path, reader: str = CHILD) -> tuple[dict[str, int], list[str]]:
    """How often each answer came, and a line for every finding; its document is kept under `keep`."""
    chance = random.Random(seed)
    seen: dict[str, int] = {}
    findings: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with _child(reader) as child:
            findings += _session(child, chance, until, seen, keep)
    return seen, findings


def _child(reader: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", reader]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _session(
    child: "subprocess.Popen[str]", chance: random.Random, until: float, seen: dict[str, int], keep: Path
) -> list[str]:
    """Ask one child until the time is over or it has died of a document."""
    assert child.stdin is not None
    assert child.stdout is not None
    findings = []
    while time.monotonic() < until:
        document = damaged(chance)
        child.stdin.write(document.hex() + "\n")
        child.stdin.flush()
        if not select.select([child.stdout], [], [], STUCK_SECONDS)[0]:
            child.kill()
            return [*findings, _kept(document, keep, f"no answer in {STUCK_SECONDS} s")]
        answer = child.stdout.readline().split(" ", 2)
        if len(answer) < 3:
            return [*findings, _kept(document, keep, f"the reader died with status {child.wait(STUCK_SECONDS)}")]
        word, took, said = answer[0], float(answer[1]), answer[2].strip()
        seen[word] = seen.get(word, 0) + 1
        if said != "-" or took > MOST_SECONDS:
            findings.append(_kept(document, keep, f"{word} in {took:.3f} s: {said}"))
    child.stdin.close()
    child.wait(STUCK_SECONDS)
    return findings


def _kept(document: bytes, keep: Path, text: str) -> str:
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{sha256(document).hexdigest()[:16]}.xml"
    path.write_bytes(document)
    return f"{path}: {text}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description="Damage CAP documents and watch the reader.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="the same damage again")
    parser.add_argument("--keep", type=Path, default=ROOT / "var" / "fuzz", help="where documents of findings go")
    arguments = parser.parse_args(argv)
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, {arguments.seconds:g} s", flush=True)
    seen, findings = search(arguments.seconds, seed, arguments.keep)
    print(", ".join(f"{count:,} {word}" for word, count in sorted(seen.items())) or "no answer")
    for finding in findings:
        print(finding)
    return 1 if findings or not seen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
