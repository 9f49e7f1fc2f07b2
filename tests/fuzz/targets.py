"""What strangers and peers send, damaged: `python -m tests.fuzz.targets --seconds 60 [--only smpp] [--seed N]`.

Pure parsers, each in this process: one that raises what it does not promise, or takes too long for one input, is a
finding, kept in a file and named. CAP documents have a search of their own (tests/cap/fuzz.py), as libxml2 may crash.
"""

import argparse
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from channels.email.bounces import read_bounce
from channels.email.reply import NotSmtp, ReplyReader
from channels.sms.smpp.codec import Decoder, decode, encode
from channels.sms.smpp.pdu import DataSm, DeliverSm, EnquireLink, ProtocolError, SubmitSmResponse, Unread
from channels.sms.smpp.receipts import ReceiptDialect, read_receipt
from gateway.campaigns.answers import MessageRequest
from gateway.directory.seed_lines import RegisterCodes, SeedReader
from gateway.errors import Refusal
from gateway.http.bodies import struct_of
from gateway.unseen_characters import visible

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 0.25
"""For one input, on a machine that does other things too."""
LONGEST = 20_000

Change = Callable[[random.Random, bytes, tuple[bytes, ...]], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    sources: tuple[bytes, ...]
    run: Callable[[bytes], object]
    pieces: tuple[bytes, ...] = (b"\x00", b"\xff", b"\r\n", b" ", b"9" * 40, b"\xc2\x9b", b"\xf0\x9f\x8c\xaa")


# ---- SMPP ----------------------------------------------------------------------------------------------------------

_RECEIPT = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611270900 done date:2611270901 stat:DELIVRD err:000 text:Storm"
)
_PDUS = (
    DeliverSm(status=0, sequence=7, source="32470123456", destination="TOCSIN", esm_class=4, short_message=_RECEIPT),
    DeliverSm(status=0, sequence=8, source="x", destination="y", short_message=b"STOP"),
    SubmitSmResponse(status=0, sequence=9, message_id="abc"),
    EnquireLink(status=0, sequence=10),
)
_READING = ReceiptDialect()


def smpp(data: bytes) -> None:
    """A stream in pieces; what is read is encoded again, and its receipt read."""
    decoder = Decoder()
    with contextlib.suppress(ProtocolError):
        for start in range(0, len(data), 37):
            for pdu in decoder.feed(data[start : start + 37]):
                if isinstance(pdu, DeliverSm | DataSm):
                    read_receipt(pdu, carrier="a", arrived_ms=1, reading=_READING)
                if not isinstance(pdu, Unread):
                    with contextlib.suppress(ValueError):
                        decode(encode(pdu))


# ---- mail ----------------------------------------------------------------------------------------------------------

_REPLIES = (
    b"250-relay.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 SMTPUTF8\r\n",
    b"550 5.1.1 <jan@example.org>: Recipient address rejected: User unknown\r\n",
    b"421 4.7.0 Try again later\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
)


def smtp_replies(data: bytes) -> None:
    reader = ReplyReader()
    with contextlib.suppress(NotSmtp):
        for start in range(0, len(data), 29):
            for reply in reader.feed(data[start : start + 29]):
                assert reply.text.isprintable()
                assert reply.label


_BOUNCES = (
    b"From: MAILER-DAEMON@relay.example\r\nTo: b+x@bounces.example\r\nSubject: Undelivered Mail\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="B"\r\n\r\n'
    b"--B\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\n"
    b"Reporting-MTA: dns; relay.example\r\n\r\nFinal-Recipient: rfc822; jan@example.org\r\nAction: failed\r\n"
    b"Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 unknown\r\n\r\n--B--\r\n",
    b"From: MAILER-DAEMON@x\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program at x.\r\n"
    b"<jan@example.org>:\r\n550 user unknown\r\n\r\n--- Below this line is a copy of the message.\r\n",
    b"From: Jan <jan@example.org>\r\nAuto-Submitted: auto-replied\r\nSubject: =?utf-8?Q?Afwezig?=\r\n\r\nDag.\r\n",
)


def bounces(data: bytes) -> None:
    read_bounce(data, reference="r", carrier="a", arrived_ms=1)


# ---- JSON bodies and the seed file -----------------------------------------------------------------------------------

_MESSAGE = json.dumps(
    {
        "zone": "5301", "kind": "news", "title": "Meeting", "channels": ["sms", "email"],
        "texts": [{"language": "nl", "sms": "Dag", "email": "Dag", "subject": "Dag"}], "terms_confirmed": True,
        "targets": {"networks": ["N"], "circles": [{"lat": 50.6, "lon": 3.4, "radius_km": 1.0}],
                    "polygons": [{"points": [[50.6, 3.3], [50.6, 3.4], [50.7, 3.4], [50.6, 3.3]]}]},
    }
).encode()  # fmt: skip


def json_bodies(data: bytes) -> None:
    """As the door reads one: whatever is wrong with it is a refusal that can be told."""
    with contextlib.suppress(Refusal):
        struct_of(data, MessageRequest)


_SEED = tuple(
    json.dumps(line).encode()
    for line in (
        {"type": "zone", "code": "5301", "name": "Zone", "convention": 1, "policy": {"area_mode": "groups"}},
        {"type": "network", "zone": "5301", "code": "N", "name": "Net", "territory": [[[50.6, 3.3], [50.6, 3.4],
                                                                                    [50.7, 3.4], [50.6, 3.3]]]},
        {"type": "member", "zone": "5301", "reference": "1", "name": "Jan", "position": {"lat": 50.6, "lon": 3.3},
         "contacts": [{"type": "mobile", "value": "0470/12.34.56"}, {"type": "email", "value": "jan@example.org"}],
         "networks": [{"code": "N", "role": "member"}], "opt_outs": ["news"]},
        {"type": "account", "code": "a", "name": "A", "account_type": "cic", "senders": ["a@b"],
         "rights": [{"action": "submit", "zone": "5301"}], "terms": [{"sender": "a@b", "versions": ["1.2"]}]},
        {"type": "lot", "zone": "5301", "reference": "o", "amount_millieuro": 5, "valid_until": "2028-07-20T22:00:00Z"},
    )
)  # fmt: skip
_AT = datetime(2026, 1, 1, tzinfo=UTC)


def seed_file(data: bytes) -> None:
    reader = SeedReader(RegisterCodes({"5301"}, {("5301", "N")}, set()), _AT)
    for _ in reader.read(data.split(b"\n")):
        pass
    for error in reader.errors:
        visible(error.reason + error.who)


_JSON = (b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"1e999", b"-0", b"\\u0000", b"\\ud800", b"true", b'""',
         b"9" * 400, b"[" * 300)  # fmt: skip
TARGETS = {
    "smpp": Target(tuple(map(encode, _PDUS)), smpp),
    "smtp": Target(_REPLIES, smtp_replies, (b"250-", b"250 ", b"\r", b"\n", b"\xff", b"5.1.1", b" ", b"0")),
    "bounces": Target(_BOUNCES, bounces, (b"\r\n", b"--B", b"\n\n", b"=?", b"?=", b";", b"\x00", b"\xff", b"<", b">",
                                          b"Content-Type: ", b"(" * 200, b'"' * 200)),
    "json": Target((_MESSAGE,), json_bodies, _JSON),
    "seed": Target((*_SEED, b"\n".join(_SEED)), seed_file, (*_JSON, b"\n")),
}  # fmt: skip


# ---- damage --------------------------------------------------------------------------------------------------------


def _cut(chance: random.Random, data: bytes, _: tuple[bytes, ...]) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.choice((1, 2, 5, 30)) :]


def _put(chance: random.Random, data: bytes, pieces: tuple[bytes, ...]) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.choice(pieces) * chance.choice((1, 1, 1, 3, 50)) + data[start:]


def _flip(chance: random.Random, data: bytes, _: tuple[bytes, ...]) -> bytes:
    damaged = bytearray(data or b"x")
    for _each in range(chance.choice((1, 1, 3, 12))):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def _repeat(chance: random.Random, data: bytes, _: tuple[bytes, ...]) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start : start + chance.choice((3, 20, 200))] * chance.choice((2, 5, 30)) + data[start:]


CHANGES: tuple[Change, ...] = (_cut, _put, _flip, _flip, _repeat)


def damaged(chance: random.Random, target: Target) -> bytes:
    data = chance.choice(target.sources)
    for _ in range(chance.randint(1, 3)):
        data = chance.choice(CHANGES)(chance, data, target.pieces)[:LONGEST]
    return data


def _took(target: Target, data: bytes) -> float:
    """Seconds of CPU: a machine that is busy with something else makes no parser slow."""
    began = time.thread_time()
    target.run(data)
    return time.thread_time() - began


def search(target: Target, seconds: float, seed: int) -> Iterator[tuple[int, str, bytes]]:
    """(how many were tried so far, what is wrong, the input); the last one with nothing wrong."""
    chance, tried = random.Random(seed), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(100):
            data = damaged(chance, target)
            tried += 1
            try:
                took = _took(target, data)
                if took > MOST_SECONDS:
                    # Collecting the garbage of a whole process is nothing that an input does: the quickest of three.
                    took = min(took, _took(target, data), _took(target, data))
            except Exception as exc:
                yield tried, f"raised {exc!r}", data
                continue
            if took > MOST_SECONDS:
                yield tried, f"took {took:.2f} s", data
    yield tried, "", b""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--only", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args(arguments)
    seed = random.randrange(2**32) if given.seed is None else given.seed
    chosen = {given.only: TARGETS[given.only]} if given.only else TARGETS
    found = 0
    for name, target in chosen.items():
        for tried, wrong, data in search(target, given.seconds / len(chosen), seed):
            if not wrong:
                print(f"{name}: {tried} inputs, seed {seed}", flush=True)
                continue
            found += 1
            path = ROOT / "var" / "fuzz" / f"{name}-{sha256(data).hexdigest()[:12]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{name}: {wrong}: {path}", flush=True)
            if found >= 20:
                return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
