"""An area among a million members: who is concerned, asked through the gateway's door, beside plain SQL.

The door reads the request, finds the people, chooses their addresses, composes and prices; plain SQL finds ids.
"""

import asyncio
import math
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import shapely

from loadtest.bench import country
from loadtest.bench.country import E7, Int64
from loadtest.bench.figures import Claim, Failed, Figure, number, percentiles
from loadtest.bench.ground import ZONE, BenchGround, GatewayProcess
from loadtest.stage import RunTerms, Stage

TITLE = "areas among 1,000,000 members of one zone (20,000 with --quick)"
_AREAS = 20
_SMALL, _LARGE = (50, 0.02), (10_000, 0.08)
"""Vertices and radius in degrees of latitude."""
_RESOLVER_MS = 15.0
_FREEZE_MS = 1_000.0
_TERMS = RunTerms()

Ring = list[tuple[float, float]]


class AskedAreas(msgspec.Struct, frozen=True):
    """The same areas asked of one of the two."""

    p50_ms: float
    p99_ms: float
    counts: list[int]
    """People found, area by area."""


async def measure(ground: BenchGround) -> list[Figure]:
    people, rounds = (20_000, 2) if ground.quick else (1_000_000, 10)
    places = country.positions(people)
    async with ground.stage(_TERMS) as stage:
        plain = stage.folder / "plain.db"
        await asyncio.to_thread(_fill, stage, plain, places)
        async with ground.gateway(stage) as gateway:
            await _warm(gateway)
            nearly_nobody = await _nearly_nobody(gateway, rounds, places)
            lines = [nearly_nobody]
            for vertices, radius in (_SMALL, _LARGE):
                rings = areas(places, vertices, radius)
                door = await _door(gateway, rings, rounds)
                sql = await asyncio.to_thread(_plain, plain, rings, rounds)
                if door.counts != sql.counts:
                    raise Failed(f"areas of {vertices}: the gateway finds {door.counts}, plain SQL {sql.counts}")
                lines += _lines(vertices, door, sql, nearly_nobody.value or 0.0, rounds)
            lines.append(await _freeze(gateway, people))
    return lines


def _lines(vertices: int, door: AskedAreas, sql: AskedAreas, least_ms: float, rounds: int) -> list[Figure]:
    found = sum(door.counts) // len(door.counts)
    settings = f"{_AREAS} areas, {rounds} times each, one at a time, {found:,} people on average"
    return [
        Figure(
            what=f"gateway's door: an area of {vertices:,} vertices, p50",
            value=door.p50_ms,
            unit="ms",
            claims=(
                Claim("ms p99", door.p99_ms, _RESOLVER_MS, at_most=True),
                Claim("ms p50 more than an area of one person", door.p50_ms - least_ms),
                Claim("x as quick as plain SQL, p50", sql.p50_ms / door.p50_ms),
                Claim("x as quick as plain SQL, p99", sql.p99_ms / door.p99_ms),
            ),
            settings=(
                f"dry run of a message by SMS and mail over HTTP, whole answer; {settings}; "
                "the goal is the resolver's alone, of which the gateway shows no time of its own"
            ),
        ),
        Figure(
            what=f"plain SQL: an area of {vertices:,} vertices, p50",
            value=sql.p50_ms,
            unit="ms",
            claims=(Claim("ms p99", sql.p99_ms),),
            settings=(
                "SQLite, its file mapped, index (lat, lon), BETWEEN on the box, then shapely intersects_xy on a "
                f"prepared polygon, ids only; the same people found; {settings}"
            ),
        ),
    ]


def _fill(stage: Stage, plain: Path, places: Int64) -> None:
    plain.unlink(missing_ok=True)
    country.settle(stage.folder / "tocsin.db", places)
    country.plain(plain, places)


def areas(places: Int64, vertices: int, radius: float) -> list[Ring]:
    """Closed rings round people drawn at random, in and out as a boundary runs, no two sides crossing."""
    draw = np.random.default_rng(vertices)
    rings = []
    for lat, lon in (places[draw.integers(len(places), size=_AREAS)] / E7).tolist():
        far = radius * (1 + 0.1 * draw.random(vertices - 1))
        turn = np.linspace(0, 2 * math.pi, vertices - 1, endpoint=False)
        corners = np.column_stack([lat + far * np.sin(turn), lon + 1.6 * far * np.cos(turn)]).round(6).tolist()
        rings.append([(a, b) for a, b in [*corners, corners[0]]])
    return rings


# ---- the door --------------------------------------------------------------------------------------------------


def _message(targets: dict[str, Any], **more: Any) -> bytes:
    text = "Wegenwerken. De werken beginnen maandag om zeven uur."
    texts = [{"language": tag, "sms": text, "subject": "Wegenwerken", "email": text} for tag in ("nl", "fr")]
    body = {"zone": ZONE, "kind": "alert", "title": "Wegenwerken", "texts": texts, "targets": targets,
            "channels": ["sms", "email"], "terms_confirmed": True}  # fmt: skip
    return msgspec.json.encode(body | more)


async def _post(gateway: GatewayProcess, path: str, body: bytes) -> tuple[float, dict[str, Any]]:
    """Milliseconds until the whole answer is there, and the answer. Raises Failed."""
    door = gateway.officer
    headers = {"Authorization": f"Bearer {door.token}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = secrets.token_hex(8)
    started_s = time.perf_counter()
    async with door.session.post(door.url + path, data=body, headers=headers) as response:
        said = await response.read()
    took_ms = 1000 * (time.perf_counter() - started_s)
    if response.status >= 300:
        raise Failed(f"the door answered {response.status}: {said[:300].decode(errors='replace')}")
    return took_ms, msgspec.json.decode(said)


async def _preview(gateway: GatewayProcess, body: bytes) -> tuple[float, int]:
    took_ms, said = await _post(gateway, "/api/v1/campaigns?dry_run=1", body)
    return took_ms, int(said["resolved"])


async def _warm(gateway: GatewayProcess) -> None:
    """The register is in memory when the first has been answered."""
    await _preview(gateway, _message({"whole_zone": True}))


async def _door(gateway: GatewayProcess, rings: Sequence[Ring], rounds: int) -> AskedAreas:
    bodies = [_message({"polygons": [{"area": "here", "points": ring}]}) for ring in rings]
    await _preview(gateway, bodies[0])
    took: list[float] = []
    counts: list[int] = []
    for _ in range(rounds):
        answers = [await _preview(gateway, body) for body in bodies]
        took += [took_ms for took_ms, _ in answers]
        counts = [count for _, count in answers]
    return AskedAreas(*percentiles(took), counts)


async def _nearly_nobody(gateway: GatewayProcess, rounds: int, places: Int64) -> Figure:
    """What the door costs when there is next to nothing to find: a triangle round one member."""
    lat, lon = (places[0] / E7).tolist()
    ring = [(lat - 1e-6, lon - 2e-6), (lat - 1e-6, lon + 2e-6), (lat + 2e-6, lon), (lat - 1e-6, lon - 2e-6)]
    body = _message({"polygons": [{"area": "here", "points": ring}]})
    took = [(await _preview(gateway, body))[0] for _ in range(rounds * _AREAS)]
    p50_ms, p99_ms = percentiles(took)
    return Figure(
        what="gateway's door: an area of one person, p50",
        value=p50_ms,
        unit="ms",
        claims=(Claim("ms p99", p99_ms),),
        settings="what HTTP, rights, texts and prices cost by themselves",
    )


async def _freeze(gateway: GatewayProcess, people: int) -> Figure:
    """Everybody, three times; starts in a week, so that nothing is sent."""
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7 * 86_400))
    took: list[float] = []
    messages = 0
    for _ in range(3):
        body = _message({"whole_zone": True}, starts_at=starts, simulation=True)
        took_ms, said = await _post(gateway, "/api/v1/campaigns", body)
        if said["preview"]["resolved"] != people:
            raise Failed(f"of {people} members {said['preview']['resolved']} were found")
        messages = sum(channel["deliveries"] for channel in said["preview"]["channels"])
        took.append(took_ms)
    return Figure(
        what=f"gateway's door: an audience of {number(people)} frozen",
        value=min(took),
        unit="ms",
        claims=(Claim("ms", min(took), _FREEZE_MS, at_most=True),),
        settings=(
            "a message by SMS and mail to the whole zone, until its 202: found, chosen, priced, frozen and committed; "
            f"{messages:,} deliveries; best of 3"
        ),
    )


# ---- plain SQL -------------------------------------------------------------------------------------------------

_BOX = "SELECT id, lat_e7, lon_e7 FROM person WHERE lat_e7 BETWEEN ? AND ? AND lon_e7 BETWEEN ? AND ?"


def _plain(file: Path, rings: Sequence[Ring], rounds: int) -> AskedAreas:
    db = sqlite3.connect(file)
    db.execute("PRAGMA mmap_size=1073741824")
    inside(db, rings[0])
    took: list[float] = []
    counts: list[int] = []
    for _ in range(rounds):
        counts = []
        for ring in rings:
            started_s = time.perf_counter()
            counts.append(len(inside(db, ring)))
            took.append(1000 * (time.perf_counter() - started_s))
    db.close()
    return AskedAreas(*percentiles(took), counts)


def inside(db: sqlite3.Connection, ring: Ring) -> Int64:
    """Ids of those in the ring or on it."""
    corners = np.rint(np.asarray(ring) * E7)
    (south, west), (north, east) = corners.min(axis=0), corners.max(axis=0)
    rows = np.array(db.execute(_BOX, (south, north, west, east)).fetchall(), dtype=np.int64).reshape(-1, 3)
    shape = shapely.polygons(corners[:, ::-1])
    if not shapely.is_valid(shape):
        shape = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    shapely.prepare(shape)
    found = shapely.intersects_xy(shape, rows[:, 2].astype(float), rows[:, 1].astype(float))
    return np.asarray(rows[found, 0])
