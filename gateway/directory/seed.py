"""Load a seed file into the register: a stream of lines in, short transactions out, an account of it at the end.

Idempotent: the same file again changes nothing. Writing stops at the first error; reading goes on, so that every
error is told (up to 50). What was written before it stays: mend the file and load it again.
"""

import contextlib
import functools
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Any, Protocol, TypeVar

import msgspec

from gateway.directory import seed_lines
from gateway.directory.agreements import write_terms
from gateway.directory.geocode_systems import REFNIS, system_of
from gateway.directory.merged_municipalities import current
from gateway.directory.point_in_area import point_e7
from gateway.directory.seed_lines import Numbered, RegisterCodes, SeedError, SeedReader, SeedRemark, UnusableContact
from gateway.directory.senders import write_kind_rules
from gateway.directory.territory import Territory, write_territory
from gateway.directory.zone_policy import write_policy
from store import audit
from store.access.accounts import AccountRecord, KeyRecord, RightRow, put_account
from store.audit_line import SERVER, Actor
from store.engine.transaction import Transaction
from store.errors import StoreError
from store.money.lots import put_lot
from store.register.reading import groups, networks, zones
from store.register.writing import (
    MemberRecord,
    NetworkRecord,
    RegisterTally,
    ZoneRecord,
    put_group,
    put_members,
    put_network,
    put_zone,
)

T = TypeVar("T")
BESIDE_A_SERVER = 200
"""Entries a transaction: a member is some five rows; 9 ms in the median, so alerts pass between them."""
ALONE = 2_000
"""The same where nobody else writes: each page of an index is then written for ten members instead of one."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Write(Protocol):
    """How a load writes: `functools.partial(database.write, turn=Turn.LAST)`, so that alerts go before it."""

    def __call__(self, work: Callable[[Transaction], Awaitable[T]], /) -> Awaitable[T]: ...


class LoadReport(msgspec.Struct, frozen=True):
    """How far a load is, or how it ended."""

    tallies: dict[str, RegisterTally]
    """By type of line."""
    unusable_count: int
    unusable: tuple[UnusableContact, ...]
    """The first 50 contacts that were left out; their members are loaded."""
    remarks: tuple[SeedRemark, ...] = ()
    """The first 50 remarks on what was loaded, as on a certificate that has expired."""
    members: dict[int, RegisterTally] = {}
    """By zone."""

    @property
    def lines(self) -> int:
        return sum(tally.new + tally.changed + tally.unchanged for tally in self.tallies.values())


class SeedRefused(Exception):
    """The file is not sound; the first errors with line, path and reason."""

    def __init__(self, errors: Sequence[SeedError], count: int) -> None:
        super().__init__(f"{count} errors; the first: line {errors[0].line}, {errors[0].path}: {errors[0].reason}")
        self.errors = tuple(errors)
        self.count = count


async def check(write: Write, lines: Iterable[str | bytes]) -> SeedReader:
    """Read a whole file and keep nothing: its `errors`, `remarks` and `unusable` contacts.

    Whatever is no member is tried as `load` would file it, and taken back: lots and keys may contradict the store."""
    places = await write(_places)
    reader = _reader(places)
    tried = [n for n in reader.read(lines) if not isinstance(n.entry, seed_lines.MemberLine)]
    if not reader.error_count:
        with contextlib.suppress(_TakenBack):
            await write(functools.partial(_try, places, tried, reader))
    return reader


async def load(
    write: Write,
    lines: Iterable[str | bytes],
    progress: Callable[[LoadReport], None] | None = None,
    at_once: int = BESIDE_A_SERVER,
    by: Actor = SERVER,
) -> LoadReport:
    """Load all lines, `at_once` of them a transaction, each with its lines of the audit. `progress` is told after every
    transaction. Raises SeedRefused, and what `write` raises."""
    places = await write(_places)
    reader = _reader(places)
    tallies: dict[str, RegisterTally] = {}
    members: dict[int, RegisterTally] = {}
    for batch in _batches(reader.read(lines), at_once):
        if reader.error_count:
            continue  # read on, for the other errors
        tally, of_zones, made = await write(functools.partial(_file, places, batch, by))
        places = made
        for name, some in tally.items():
            tallies[name] = tallies.get(name, RegisterTally()) + some
        for zone_id, some in of_zones.items():
            members[zone_id] = members.get(zone_id, RegisterTally()) + some
        if progress is not None:
            progress(_report(tallies, reader))
    if reader.error_count:
        raise SeedRefused(reader.errors, reader.error_count)
    return msgspec.structs.replace(_report(tallies, reader), members=members)


def _batches(entries: Iterator[Numbered], size: int) -> Iterator[list[Numbered]]:
    while batch := list(islice(entries, size)):
        yield batch


def _report(tallies: dict[str, RegisterTally], reader: SeedReader) -> LoadReport:
    return LoadReport(dict(tallies), reader.unusable_count, tuple(reader.unusable), tuple(reader.remarks))


class _Places(msgspec.Struct, frozen=True):
    """Ids by code: what the register has so far."""

    zones: dict[str, int]
    networks: dict[tuple[str, str], int]
    groups: dict[tuple[str, str], int]
    now_ms: int
    """By the store's clock."""

    def known(self) -> RegisterCodes:
        return RegisterCodes(set(self.zones), set(self.networks), set(self.groups))


def _reader(places: _Places) -> SeedReader:
    return SeedReader(places.known(), _EPOCH + timedelta(milliseconds=places.now_ms))


async def _places(tx: Transaction) -> _Places:
    found = {zone.id: zone.code for zone in await zones(tx.conn)}
    return _Places(
        {code: zone_id for zone_id, code in found.items()},
        {(found[row.zone_id], row.code): row.id for row in await networks(tx.conn, found)},
        {(found[row.zone_id], row.code): row.id for row in await groups(tx.conn, found)},
        tx.now_ms,
    )


async def _file(
    before: _Places, batch: Sequence[Numbered], by: Actor, tx: Transaction
) -> tuple[dict[str, RegisterTally], dict[int, RegisterTally], _Places]:
    """One transaction: repeated by the store after a lost connection, so it keeps nothing outside its result."""
    places = _Places(dict(before.zones), dict(before.networks), dict(before.groups), before.now_ms)
    tallies: dict[str, RegisterTally] = {}
    members: dict[int, RegisterTally] = {}
    for (kind, zone), run in groupby(batch, key=lambda numbered: (type(numbered.entry), _zone_of(numbered.entry))):
        some = list(run)
        if kind is seed_lines.MemberLine:
            tally = await _file_members(tx, places, some)
            members[places.zones[zone]] = members.get(places.zones[zone], RegisterTally()) + tally
        else:
            tally = RegisterTally()
            for numbered in some:
                tally += await _file_one(tx, places, numbered, by)
        name = seed_lines.word_of(kind.__name__)
        tallies[name] = tallies.get(name, RegisterTally()) + tally
    return tallies, members, places


class _TakenBack(Exception):
    """Nothing of a transaction is kept."""


async def _try(before: _Places, entries: Sequence[Numbered], reader: SeedReader, tx: Transaction) -> None:
    places = _Places(dict(before.zones), dict(before.networks), dict(before.groups), before.now_ms)
    reader.forget()  # a lost connection repeats the work
    for numbered in entries:
        try:
            async with tx.conn.begin_nested():
                await _file_entry(tx, places, numbered.entry, SERVER)
        except (StoreError, ValueError) as exc:
            reader.contradicts(numbered, str(exc))
    raise _TakenBack


def _zone_of(entry: seed_lines.SeedLine) -> str:
    return entry.zone if isinstance(entry, seed_lines.MemberLine) else ""


async def _file_one(tx: Transaction, places: _Places, numbered: Numbered, by: Actor) -> RegisterTally:
    try:
        return await _file_entry(tx, places, numbered.entry, by)
    except (StoreError, ValueError) as exc:
        raise SeedRefused([SeedError(numbered.line, "$", str(exc))], 1) from exc


async def _file_entry(tx: Transaction, places: _Places, entry: Any, by: Actor) -> RegisterTally:
    match entry:
        case seed_lines.ZoneLine():
            territory = Territory(entry.territory, tuple(sorted(map(_geocode, entry.codes))))
            policy = write_policy(entry.policy)
            record = ZoneRecord(entry.code, entry.name, entry.convention, policy, write_territory(territory))
            places.zones[entry.code], tally = await put_zone(tx, record, by)
        case seed_lines.NetworkLine():
            key = (entry.zone, entry.code)
            places.networks[key], tally = await put_network(tx, places.zones[entry.zone], _network(entry), by)
        case seed_lines.GroupLine():
            key = (entry.zone, entry.code)
            zone_id = places.zones[entry.zone]
            places.groups[key], tally = await put_group(tx, zone_id, entry.code, entry.name, by)
        case seed_lines.AccountLine():
            _, tally = await put_account(tx, _account(entry, places), by)
        case _:
            zone_id, subject = places.zones[entry.zone], f"lot {entry.reference}"
            until_ms = None if entry.valid_until is None else _ms(entry.valid_until)
            if not await put_lot(tx, zone_id, entry.reference, entry.amount_millieuro, until_ms):
                return RegisterTally(unchanged=1)
            detail = {"millieuro": entry.amount_millieuro, "valid_until_ms": until_ms}
            await audit.note(tx, "lot-load", subject, by, zone_id=zone_id, detail=detail)
            tally = RegisterTally(new=1)
    return tally


async def _file_members(tx: Transaction, places: _Places, some: Sequence[Numbered]) -> RegisterTally:
    first = some[0].entry
    assert isinstance(first, seed_lines.MemberLine)
    records = [_member(numbered, places) for numbered in some]
    # Ids that begin with the second stand beside one another in their index: half as much is written.
    second = f"{tx.now_ms // 1000:08x}"
    return await put_members(tx, places.zones[first.zone], records, lambda: second + secrets.token_urlsafe(9))


def _member(numbered: Numbered, places: _Places) -> MemberRecord:
    entry = numbered.entry
    assert isinstance(entry, seed_lines.MemberLine)
    lon_e7, lat_e7 = (None, None)
    if entry.position is not None:
        lon_e7, lat_e7 = point_e7(entry.position.lat, entry.position.lon)
    return MemberRecord(
        reference=entry.reference,
        name=entry.name,
        language=entry.language,
        lon_e7=lon_e7,
        lat_e7=lat_e7,
        refnis=entry.refnis,
        postcode=entry.postcode,
        opt_outs=" ".join(sorted({kind.value for kind in entry.opt_outs})),
        contacts=numbered.contacts,
        networks=frozenset((places.networks[entry.zone, m.code], m.role) for m in entry.networks),
        groups=frozenset(places.groups[entry.zone, code] for code in entry.groups),
    )


def _network(entry: seed_lines.NetworkLine) -> NetworkRecord:
    territory = msgspec.json.encode(entry.territory).decode() if entry.territory else None
    return NetworkRecord(entry.code, entry.name, territory, frozenset(map(_geocode, entry.codes)))


def _geocode(code: seed_lines.Geocode) -> tuple[str, str]:
    system, value = system_of(code.system), code.value.strip()
    return system, current(value) if system == REFNIS and value.isdigit() else value


def _account(entry: seed_lines.AccountLine, places: _Places) -> AccountRecord:
    rights = frozenset(
        RightRow(
            right.action,
            None if right.zone is None else places.zones[right.zone],
            None if right.network is None else places.networks[str(right.zone), right.network],
            right.kind,
            right.channel,
            right.mode,
        )
        for right in (*entry.rights, *_published(entry), *_audited(entry))
    )
    return AccountRecord(
        code=entry.code,
        name=entry.name,
        type=entry.account_type,
        senders=msgspec.json.encode(entry.senders).decode(),
        kind_rules=write_kind_rules(entry.kind_rules),
        terms=write_terms(entry.terms),
        rights=rights,
        keys=tuple(KeyRecord(key.key_id, key.secret_sha256) for key in entry.keys),
    )


def _published(entry: seed_lines.AccountLine) -> Iterator[seed_lines.RightLine]:
    """Files of before publishing was a right say nothing of it, and mean that dispatch centres publish."""
    said = any(right.action == "publish" for right in entry.rights)
    if said or not entry.publishes or entry.account_type != "cic":
        return
    for right in entry.rights:
        if (right.action, right.network, right.channel) == ("submit", None, "*"):
            yield msgspec.structs.replace(right, action="publish")


def _audited(entry: seed_lines.AccountLine) -> Iterator[seed_lines.RightLine]:
    """Files of before the audit was read by a right say nothing of it, and mean that an auditor reads that, too, of a
    zone of which he reads everything."""
    if entry.account_type == "auditor" and all(right.action != "audit" for right in entry.rights):
        for right in entry.rights:
            if right == seed_lines.RightLine("read", right.zone):
                yield seed_lines.RightLine("audit", right.zone)


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)
