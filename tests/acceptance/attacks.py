"""What strangers, accounts with small rights, and peers do to a server that stands in their way, each for as long as it
is let. All of it on 127.0.0.1, each with few connections and no more octets than it says.

`python -m tests.acceptance.attacks NAME TARGET` attacks until it is ended; with a kind of flood alone it is an SMSC
that binds whoever comes and floods, or a relay that babbles: it prints its port.
"""

import asyncio
import contextlib
import json
import math
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from channels.sms.smpp.codec import HEADER, Decoder, encode
from channels.sms.smpp.pdu import BindResponse, CommandId, DeliverSm, EnquireLink
from tests.acceptance.world import alert

_RECEIPT = b"id:7 sub:001 dlvrd:001 submit date:2611261200 done date:2611261201 stat:DELIVRD err:000 text:hello"
FLOODS = {
    "enquire_link": encode(EnquireLink(sequence=9)),
    "handset": encode(DeliverSm(sequence=5, source="32470000000", destination="PLP", short_message=b"hi")),
    "receipt": encode(DeliverSm(sequence=5, esm_class=4, source="32470000000", short_message=_RECEIPT)),
    "malformed": HEADER.pack(40, CommandId.DELIVER_SM, 0, 7) + b"\xff" * 24,
}


BABBLE = "relay"
"""Not an SMSC, but a relay."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server listens, and the key of an account that may launch news by e-mail in one network."""

    url: str
    port: int
    bounce_port: int
    key: str
    network: str
    zone: str
    campaign: str = ""
    """One that the account decided itself."""


Attack = Callable[[Target], Awaitable[None]]


# ---- shapes and texts --------------------------------------------------------------------------------------------


def _star(points: int) -> list[list[float]]:
    step = points // 2
    ring = [
        [50.5 + math.sin(2 * math.pi * n * step / points) / 2, 4.5 + math.cos(2 * math.pi * n * step / points) / 2]
        for n in range(points)
    ]
    return [*ring, ring[0]]


def _zigzag(sides: int) -> list[list[float]]:
    ring: list[list[float]] = []
    for n in range(sides):
        ends = [[50 + 0.3 * n / sides, 4.0], [51 + 0.3 * n / sides, 5.0]]
        ring += ends if n % 2 == 0 else ends[::-1]
    return [*ring, [51.5, 5.2], [51.5, 3.8], [49.9, 3.8], ring[0]]


def _message(target: Target, **changed: Any) -> bytes:
    body = {
        "zone": target.zone, "kind": "news", "title": "t", "channels": ["email"], "terms_confirmed": True,
        "texts": [{"language": "nl", "email": "Nieuws"}], "targets": {"networks": [target.network]},
    }  # fmt: skip
    return json.dumps(body | changed).encode()


def _circles(n: int) -> dict[str, Any]:
    return {"circles": [{"area": "a", "lat": 50.5, "lon": 4.5, "radius_km": 1500.0}] * n}


def _polygon(ring: list[list[float]]) -> dict[str, Any]:
    return {"polygons": [{"area": "a", "points": ring}]}


# ---- accounts ----------------------------------------------------------------------------------------------------


async def _repeat(target: Target, method: str, path: str, bodies: list[bytes], kind: str, at_once: int = 8) -> None:
    """Until it is cancelled: `at_once` requests that are given up after three seconds, as impatient clients do."""
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": kind}
    timeout = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:

        async def one(place: int) -> None:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                    async with session.request(method, target.url + path, data=bodies[place % len(bodies)]) as answer:
                        await answer.read()
                await asyncio.sleep(0.01)

        await asyncio.gather(*map(one, range(at_once)))


async def heavy_dry_runs(target: Target) -> None:
    """Stars, long sides beside one another, circles of half a continent, unknown names by the thousand."""
    bodies = [
        _message(target, targets=_polygon(_star(1001))),
        _message(target, targets=_polygon(_star(61))),
        _message(target, targets=_polygon(_zigzag(1_500))),
        _message(target, targets=_polygon(_zigzag(12_000))),
        _message(target, targets=_circles(100)),
        _message(target, targets=_circles(9_000)),
        _message(target, targets={"networks": [f"n{n}" for n in range(60_000)]}),
        _message(target, targets={"geocodes": [{"area": "a", "system": "NIS", "value": "57027"}] * 1_900}),
    ]
    await _repeat(target, "POST", "/api/v1/campaigns?dry_run=1", bodies, "application/json")


async def long_texts(target: Target) -> None:
    def text(**fields: str) -> bytes:
        return _message(target, texts=[{"language": "nl", **fields}], channels=["email"])

    bodies = [
        text(email="." * 19_900 + "a"),
        text(email="a\n\n" * 6_000),
        text(email="x" * 900_000),
        text(email="n", voice="1" * 3_900),
        text(email="n", sms="é " * 1_900),
        _message(target, texts=[{"language": f"{a}{b}", "email": "x" * 1000} for a in "abcdef" for b in "abcdefghi"]),
        b"[" * 500_000,
        b'{"zone": "' + b"x" * 900_000 + b'"}',
    ]
    await _repeat(target, "POST", "/api/v1/campaigns?dry_run=1", bodies, "application/json")


async def hostile_documents(target: Target) -> None:
    """CAP that its account may not send, as large and as crooked as it may be."""
    ring = " ".join(f"{lat},{lon}" for lat, lon in _zigzag(1_400))
    long = alert({"a": ring}).replace(b"Verdachte bestelwagen", b"Verdacht. " * 40_000)
    bodies = [
        alert({"a": " ".join(f"{lat},{lon}" for lat, lon in _star(1001))}),
        alert({"a": ring}),
        long,
        alert({f"a{n}": "50,4 50,5 51,5 50,4" for n in range(450)}),
        b"<alert " + b"a" * 900_000,
        b"<info/>" * 120_000,
    ]
    await _repeat(target, "POST", "/cap/v1/validate", bodies, "application/cap+xml", at_once=4)


async def heavy_alerts(target: Target) -> None:
    """Newsletters as CAP, many at once, that must be looked at before it is known that they reach nobody."""
    ring = " ".join(f"{lat},{lon}" for lat, lon in _zigzag(1_400))
    bodies = [alert({"a": ring}, kind="news", channels="email") for _ in range(50)]
    bodies += [alert({"a": " ".join(f"{lat},{lon}" for lat, lon in _star(61))}, kind="news", channels="email")]
    await _repeat(target, "POST", "/cap/v1/alerts", bodies, "application/cap+xml", at_once=60)


# ---- strangers ---------------------------------------------------------------------------------------------------


async def odd_heads(target: Target) -> None:
    kinds = ['application/json;a="b' + ';a="b' * 1_400, "text/xml" + ";" * 7_000, "text/xml;" + "a*0*=x;" * 1_000]

    async def one(kind: str) -> None:
        await _repeat(target, "POST", "/cap/v1/validate", [b"<a/>"], kind, at_once=2)

    await asyncio.gather(*map(one, kinds))


async def idle_strangers(target: Target) -> None:
    """Hundreds of connections that say nothing, or one octet at a time, at both doors."""
    held = []
    try:
        while True:
            for port in (target.port,) * 9 + (target.bounce_port,):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(b"G")
                    held.append(writer)
            for writer in held[:-600]:
                writer.close()
            del held[:-600]
            await asyncio.sleep(0.02)
    finally:
        for writer in held:
            writer.close()


async def greedy_readers(target: Target) -> None:
    """Everything that is free, over and over, whole, by readers that take it a little at a time."""
    paths = (
        "/cap/feed.atom?full=1",
        "/cap/feed.rss",
        "/cap/active.geojson",
        "/cap/heartbeat.xml",
        "/readyz",
        "/",
        "/x",
    )

    async def one(path: str) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1024)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 20)
                async with asyncio.timeout(2):
                    for _ in range(40):
                        await reader.read(500)
                        await asyncio.sleep(0.005)
                writer.close()
            await asyncio.sleep(0.01)

    await asyncio.gather(*(one(path) for path in paths for _ in range(4)))


async def many_streams(target: Target) -> None:
    """Streams by the hundred, of one account and of nobody, that are opened, not read, and opened again."""
    with_key = f"Authorization: Bearer {target.key}\r\n"
    held: list[asyncio.StreamWriter] = []
    try:
        while True:
            for path, head in (("/cap/stream", ""), (f"/api/v1/campaigns/{target.campaign}/progress", with_key)) * 5:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", target.port)
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
                    held.append(writer)
            for writer in held[:-500]:
                writer.close()
            del held[:-500]
            await asyncio.sleep(0.02)
    finally:
        for writer in held:
            writer.close()


async def guessed_keys(target: Target) -> None:
    stranger = replace(target, key="tocsin_x_" + "y" * 200)
    await _repeat(stranger, "GET", "/api/v1/campaigns", [b""], "text/plain", at_once=16)


async def hostile_bounces(target: Target) -> None:
    """Whoever got one mail of ours has a return path; here the MAC is guessed, so that the content must not be read."""
    mail = b"Subject: " + b"=?a?q?x" * 5_000 + b"\r\n\r\n."
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", target.bounce_port)
            writer.write(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bounce+1.7.0123456789abcdef@bounces.example>\r\nDATA\r\n")
            writer.write(mail + b"\r\nQUIT\r\n")
            await reader.read()
            writer.close()
        await asyncio.sleep(0.01)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        heavy_alerts, heavy_dry_runs, long_texts, hostile_documents,
        odd_heads, idle_strangers, greedy_readers, many_streams, guessed_keys, hostile_bounces,
    )
}  # fmt: skip


# ---- peers that flood ---------------------------------------------------------------------------------------------


async def _flood(unit: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    decoder, asked = Decoder(), list[Any]()

    async def drain() -> None:
        while await reader.read(65_536):
            pass

    with contextlib.suppress(ConnectionError):
        while not asked:
            asked = decoder.feed(await reader.read(65_536))
        writer.write(encode(BindResponse(command=asked[0].command, sequence=asked[0].sequence)))
        draining = asyncio.create_task(drain())
        piece = unit * (65_536 // len(unit))
        for _ in range(20_000):  # 1.3 GB at most
            writer.write(piece)
            await writer.drain()
        draining.cancel()
    writer.close()


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A relay that greets, and then answers everything a thousand times."""
    writer.write(b"220 babble ready\r\n")
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            reply = b"250-babble\r\n250 PIPELINING\r\n" if line.upper().startswith(b"EHLO") else b"250 ok\r\n" * 1000
            writer.write(reply)
            await writer.drain()
    writer.close()


async def _serve(kind: str) -> None:
    def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        return _babble(reader, writer) if kind == BABBLE else _flood(FLOODS[kind], reader, writer)

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(600):
            await server.serve_forever()


async def _attack(name: str, target: Target) -> None:
    async with asyncio.timeout(600):
        await ATTACKS[name](target)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(_attack(sys.argv[1], Target(**json.loads(sys.argv[2]))))
    else:
        asyncio.run(_serve(sys.argv[1]))
