"""The audit as it is read: lines in pages, the newest first. And readings of what is personal, which are lines, too.

A page reads so many rows at most, whatever it is asked for: it may be short, and say all the same where the next one
goes on.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit as chain
from store.audit_line import Actor
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.tables import ERASED, Big, account, audit, audit_detail, audit_link, audit_reading, campaign, member, zone

# ---- readings that are lines -------------------------------------------------------------------------------------

SLOT_MS = 15 * 60_000
"""Readings of one thing by one account from one address are one line within each quarter of an hour (UTC)."""
MOST_QUESTIONS = 20
"""Of readings that differ in nothing but what was asked so many are lines of their own within the quarter of an hour;
what is asked beyond them is one line together."""
BEYOND = "more_questions_than"
"""What the line of those says that were asked beyond, in its detail."""
_FORGOTTEN_MS = 4 * SLOT_MS
"""Longer than any two clocks are apart."""


class PersonalReading(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody reads that is personal, or takes along."""

    action: str
    subject: str
    by: Actor
    zone_id: int | None = None
    detail: Mapping[str, Any] = {}
    apart: Mapping[str, Any] = {}
    """What was asked, where there is no end of what can be."""


_slot = audit_reading.c.slot_ms == sa.bindparam("slot_ms", type_=Big)
_told_of = Prepared(
    sa.select(audit_reading.c.key)
    .where(_slot, audit_reading.c.key.in_([sa.bindparam(name, type_=sa.Text) for name in ("key", "beyond")]))
    .limit(1)
)
_tell_of = Prepared(
    sa.text("INSERT INTO audit_reading (slot_ms, key) VALUES (:slot_ms, :key) ON CONFLICT DO NOTHING RETURNING key")
    .bindparams(sa.bindparam("slot_ms", type_=Big), sa.bindparam("key", type_=sa.Text))
)  # fmt: skip
_forget = Prepared(sa.delete(audit_reading).where(audit_reading.c.slot_ms < sa.bindparam("before", type_=Big)))


async def is_noted(conn: AsyncConnection, reading: PersonalReading, now_ms: int) -> bool:
    """Whether there is a line of this reading in the quarter of an hour, its own or that of all that were asked beyond
    `MOST_QUESTIONS`: a line that can be seen is durable."""
    keys = {"key": _key(reading), "beyond": _key(_beyond(reading))}
    return bool(await rows_of(conn, _told_of, {"slot_ms": _slot_ms(now_ms), **keys}))


async def note_reading(tx: Transaction, reading: PersonalReading) -> None:
    """Writes the line of a reading, unless there is one in the quarter of an hour. Of two at once one writes it, and
    the other waits until it is there."""
    if await is_noted(tx.conn, reading, tx.now_ms):
        return
    if await _tells_first(tx, _key(reading)) and (not reading.apart or await _has_place(tx, reading)):
        await _note(tx, reading)


async def _has_place(tx: Transaction, reading: PersonalReading) -> bool:
    """Whether a question may be a line of its own. The first that may not leaves the line of all such."""
    beyond = _beyond(reading)
    group = _key(beyond)
    # Each place is taken once, however many ask at once, and all ask in one order: nobody waits in a circle.
    for place in range(MOST_QUESTIONS):
        if await _tells_first(tx, f"{group} {place}"):
            return True
    if await _tells_first(tx, group):
        await _note(tx, beyond)
    return False


async def _tells_first(tx: Transaction, key: str) -> bool:
    """Whoever else tells of the same waits for the end of this transaction."""
    return await tx.first(_tell_of, {"slot_ms": _slot_ms(tx.now_ms), "key": key}) is not None


async def _note(tx: Transaction, reading: PersonalReading) -> None:
    await chain.note(
        tx, reading.action, reading.subject, reading.by,
        zone_id=reading.zone_id, detail=reading.detail, apart=reading.apart,
    )  # fmt: skip


async def forget_readings(tx: Transaction) -> None:
    """Forgets which readings of quarters of an hour that are over are lines; the lines stay."""
    await tx.run(_forget, {"before": tx.now_ms - _FORGOTTEN_MS})


def _beyond(reading: PersonalReading) -> PersonalReading:
    """All that differ from it in what was asked alone, told together."""
    return msgspec.structs.replace(reading, detail={**reading.detail, BEYOND: MOST_QUESTIONS}, apart={})


def _key(reading: PersonalReading) -> str:
    return hashlib.sha256(msgspec.json.encode(reading, order="deterministic")).hexdigest()


def _slot_ms(now_ms: int) -> int:
    return now_ms // SLOT_MS * SLOT_MS


# ---- lines that are read -----------------------------------------------------------------------------------------


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line, as it is read."""

    id: int
    at_ms: int
    account: str
    """Its code; empty for what no account did."""
    behalf: str
    """Code of the account on whose behalf it was done; empty: on its own."""
    via: Literal["", "http", "cli"]
    """The interface; empty: the server by itself."""
    zone_id: int | None
    zone: str
    """Code of the zone whose business it is; empty: of none, or of all."""
    action: str
    subject: str
    detail: Any
    """Ids and words, JSON."""
    apart: Any = None
    """Who it was, from where, and what it changed; None where that was erased, or there is none."""
    erased: bool = False
    """What stood apart was erased."""
    named: str = ""
    """What the subject is called outside, where it is a number of the store's own: a campaign's or a member's public
    id, a zone's code."""
    reference: str = ""
    """A member's in the register of its zone; empty for anything else, and for who was erased. It is personal."""
    number: int | None = None
    """Its place in the chain; None: no server has chained it yet."""
    hash: str = ""
    """The chain's, up to here."""

    @property
    def about(self) -> str:
        """The subject in words that are known outside."""
        kind, _, _ = self.subject.rpartition(" ")
        return f"{kind} {self.named}".lstrip() if self.named else self.subject


class LinePlace(NamedTuple):
    """Where a page ends: lines are in the order of their instants, and of their ids within one."""

    at_ms: int
    id: int


class WantedLines(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines; what is empty chooses all."""

    account: str = ""
    """Code of who did it, or of on whose behalf."""
    action: str = ""
    subject: str = ""
    """As it is called outside: a campaign's id, a zone's code, a member's reference in the register; with its kind
    before it where that is said (`zone 5301`, `campaign c1`, `member m1`, `channel sms`); or as it stands in the
    line."""
    zone: str = ""
    """Its code."""
    zones: frozenset[int] | None = None
    """Only lines that are the business of one of these; None: of any, and of none."""
    registers: frozenset[int] | None = None
    """Zones in whose registers a subject is looked for by its reference; None: in all."""
    since_ms: int = 0
    until_ms: int | None = None
    """Lines before this instant."""


_AT_ONCE = 1_000
"""Rows that are read for one look, over all ways."""
_LEAST = 50
_LOOKS = 5
_MOST_WAYS = 16
_LATEST = LinePlace(1 << 62, 0)

_columns = (
    audit.c.id, audit.c.at_ms, audit.c.account_id, audit.c.behalf_id, audit.c.zone_id, audit.c.action, audit.c.subject,
)  # fmt: skip
_behind = sa.tuple_(audit.c.at_ms, audit.c.id) < sa.tuple_(
    sa.bindparam("at_ms", type_=Big), sa.bindparam("id", type_=Big)
)
_walk = (
    sa.select(*_columns)
    .where(_behind, audit.c.at_ms >= sa.bindparam("since_ms", type_=Big))
    .order_by(audit.c.at_ms.desc(), audit.c.id.desc())
    .limit(sa.bindparam("most", type_=Big))
)


def _walk_of(column: sa.Column[Any]) -> Prepared:
    return Prepared(_walk.where(column == sa.bindparam("value", type_=column.type)))


_walk_all = Prepared(_walk)
_walk_subject = _walk_of(audit.c.subject)
_walk_action = _walk_of(audit.c.action)
_walk_account = _walk_of(audit.c.account_id)
_walk_behalf = _walk_of(audit.c.behalf_id)
_walk_zone = _walk_of(audit.c.zone_id)
_Way = tuple[Prepared, int | str | None]


@dataclass(frozen=True, slots=True)
class _Search:
    ways: tuple[_Way, ...]
    """Each walks down one index."""
    account_id: int | None
    action: str
    subjects: frozenset[str]
    zones: frozenset[int] | None

    def finds(self, row: AnyRow) -> bool:
        return (
            (self.account_id is None or self.account_id in (row.account_id, row.behalf_id))
            and self.action in ("", row.action)
            and (not self.subjects or row.subject in self.subjects)
            and (self.zones is None or row.zone_id in self.zones)
        )


async def page(
    conn: AsyncConnection, wanted: WantedLines, most: int, after: LinePlace | None = None
) -> tuple[list[AuditLine], LinePlace | None]:
    """Lines of the audit, the newest first, and where the next page goes on; None: there are no more.

    Not more than some thousands of rows are read: a page may have fewer lines than `most`, or none, and be followed by
    more."""
    search = await _search(conn, wanted)
    if search is None:
        return [], None
    place = min(after or _LATEST, LinePlace(wanted.until_ms, 0) if wanted.until_ms is not None else _LATEST)
    # One reference may be that of a member in each of a hundred zones: a look reads no more for that.
    window = max(_LEAST, min(most, _AT_ONCE)) if _is_exact(search) else max(1, _AT_ONCE // len(search.ways))
    found: list[AnyRow] = []
    for _ in range(_LOOKS):
        rows, is_last = await _look(conn, search.ways, place, wanted.since_ms, window)
        for row in rows:
            place = LinePlace(row.at_ms, row.id)
            if search.finds(row):
                found.append(row)
            if len(found) == most:
                return await _told(conn, found), place
        if is_last:
            return await _told(conn, found), None
    return await _told(conn, found), place


async def latest(conn: AsyncConnection, most: int, wanted: WantedLines | None = None) -> list[AuditLine]:
    """So many lines of the audit, the newest first, however many rows that takes."""
    found: list[AuditLine] = []
    after: LinePlace | None = None
    while len(found) < most:
        lines, after = await page(conn, wanted or WantedLines(), min(most - len(found), _AT_ONCE), after)
        found += lines
        if after is None:
            break
    return found


def _is_exact(search: _Search) -> bool:
    """Whether all that one way finds is wanted."""
    asked = (search.account_id is not None, bool(search.action), bool(search.subjects), search.zones is not None)
    return len(search.ways) == 1 and sum(asked) <= 1


async def _search(conn: AsyncConnection, wanted: WantedLines) -> _Search | None:
    """None: there can be no such line."""
    account_id, subjects, zones = None, frozenset[str](), wanted.zones
    if wanted.account:
        account_id = await _number(conn, account.c.id, account.c.code, wanted.account)
        if account_id is None:
            return None
    if wanted.zone:
        zone_id = await _number(conn, zone.c.id, zone.c.code, wanted.zone)
        if zone_id is None or (zones is not None and zone_id not in zones):
            return None
        zones = frozenset({zone_id})
    if wanted.subject:
        members = await members_meant(conn, wanted)
        subjects = await spelled(conn, wanted.subject, members)
    if zones is not None and not zones:
        return None
    ways: list[_Way]
    if subjects:
        ways = [(_walk_subject, each) for each in sorted(subjects)]
    elif account_id is not None:
        ways = [(_walk_account, account_id), (_walk_behalf, account_id)]
    elif zones is not None and len(zones) <= _MOST_WAYS:
        ways = [(_walk_zone, each) for each in sorted(zones)]
    elif wanted.action:
        ways = [(_walk_action, wanted.action)]
    else:
        ways = [(_walk_all, None)]
    return _Search(tuple(ways), account_id, wanted.action, subjects, zones)


async def _look(
    conn: AsyncConnection, ways: Iterable[_Way], place: LinePlace, since_ms: int, window: int
) -> tuple[list[AnyRow], bool]:
    """The rows behind a place, on all ways together, in their order; and whether there are none behind them."""
    found: dict[int, AnyRow] = {}
    read_to: LinePlace | None = None
    values = {"at_ms": place.at_ms, "id": place.id, "since_ms": since_ms, "most": window}
    for statement, value in ways:
        rows = await rows_of(conn, statement, values if value is None else values | {"value": value})
        found |= {row.id: row for row in rows}
        if len(rows) == window:
            # Behind its end nothing is known of this way.
            read_to = max(read_to or LinePlace(0, 0), LinePlace(rows[-1].at_ms, rows[-1].id))
    ordered = sorted(found.values(), key=lambda row: (row.at_ms, row.id), reverse=True)
    if read_to is None:
        return ordered, True
    return [row for row in ordered if (row.at_ms, row.id) >= read_to], False


# ---- names -------------------------------------------------------------------------------------------------------


class _Named(NamedTuple):
    name: str
    reference: str = ""


def _is_erased(reference: str, public_id: str) -> bool:
    return reference == f"{ERASED}-{public_id}"


async def _number(conn: AsyncConnection, wanted: sa.Column[Any], column: sa.Column[Any], value: str) -> int | None:
    found = (await conn.execute(sa.select(wanted).where(column == value))).scalar()
    return None if found is None else int(found)


class MemberMeant(NamedTuple):
    id: int
    public_id: str


_code = sa.select(zone.c.code).where(zone.c.id == member.c.zone_id).scalar_subquery()
_by_reference = Prepared(
    sa.select(member.c.id, member.c.public_id, member.c.zone_id, _code.label("code"))
    # Zone by zone: the index of references begins with it.
    .where(
        member.c.reference == sa.bindparam("reference", type_=sa.Text),
        member.c.zone_id.in_(sa.select(zone.c.id)),
    )
)


async def members_meant(conn: AsyncConnection, wanted: WantedLines) -> list[MemberMeant]:
    """Whose reference a wanted subject is, one at most in each zone that is asked about."""
    reference = wanted.subject.removeprefix("member ")
    if not reference:
        return []
    rows = await rows_of(conn, _by_reference, {"reference": reference})
    return [
        MemberMeant(row.id, row.public_id)
        for row in rows
        if wanted.zone in ("", row.code)
        and (wanted.zones is None or row.zone_id in wanted.zones)
        and (wanted.registers is None or row.zone_id in wanted.registers)
        and not _is_erased(reference, row.public_id)
    ]


async def question_of(conn: AsyncConnection, wanted: WantedLines) -> str:
    """The wanted subject as the line of its reading says it: of persons who were meant by their reference the public
    ids, for what is erased with a person is not to stay in what others asked."""
    return ", ".join(f"member {one.public_id}" for one in await members_meant(conn, wanted)) or wanted.subject


async def spelled(conn: AsyncConnection, name: str, members: Iterable[MemberMeant] = ()) -> frozenset[str]:
    """A subject as lines may have it, from how it is called outside."""
    kind, _, public = name.rpartition(" ")
    found = {f"member {one.id}" for one in members}
    if kind in ("", "campaign") and (id_ := await _number(conn, campaign.c.id, campaign.c.public_id, public)):
        found |= {str(id_), f"campaign {id_}"}
    if kind in ("", "zone") and (id_ := await _number(conn, zone.c.id, zone.c.code, public)):
        found.add(f"zone {id_}")
    if kind == "member" and (id_ := await _number(conn, member.c.id, member.c.public_id, public)):
        found.add(f"member {id_}")
    # Digits alone are a zone's code before they are a number of the store's own.
    return frozenset(found if found and name.isdigit() else found | {name})


_given = json_rows("given", id=int)
_acting, _behalf = account.alias("acting"), account.alias("behalf")
_whole = Prepared(
    sa.select(
        audit.c.id, audit.c.at_ms, audit.c.via, audit.c.action, audit.c.subject, audit.c.detail, audit.c.apart,
        audit.c.zone_id, _acting.c.code.label("account"), _behalf.c.code.label("behalf"), zone.c.code.label("zone"),
        audit_detail.c.detail.label("beside"), audit_link.c.no, audit_link.c.hash,
    )
    .select_from(
        audit.outerjoin(_acting, _acting.c.id == audit.c.account_id)
        .outerjoin(_behalf, _behalf.c.id == audit.c.behalf_id)
        .outerjoin(zone, zone.c.id == audit.c.zone_id)
        .outerjoin(audit_detail, audit_detail.c.audit_id == audit.c.id)
        .outerjoin(audit_link, audit_link.c.audit_id == audit.c.id)
    )
    .where(audit.c.id.in_(sa.select(_given.c.id)))
)  # fmt: skip


async def _told(conn: AsyncConnection, rows: Sequence[AnyRow]) -> list[AuditLine]:
    whole = {row.id: row for row in await rows_of(conn, _whole, {"given": pack((row.id,) for row in rows)})}
    names = await _names(conn, {row.subject for row in rows})
    return [_line(whole[row.id], names) for row in rows if row.id in whole]


def _line(row: AnyRow, names: Mapping[str, _Named]) -> AuditLine:
    named = names.get(row.subject, _Named(""))
    return AuditLine(
        id=row.id,
        at_ms=row.at_ms,
        account=row.account or "",
        behalf=row.behalf or "",
        via=row.via,
        zone_id=row.zone_id,
        zone=row.zone or "",
        action=row.action,
        subject=row.subject,
        detail=msgspec.json.decode(row.detail),
        apart=None if row.beside is None else msgspec.json.decode(row.beside),
        erased=bool(row.apart) and row.beside is None,
        named=named.name,
        reference=named.reference,
        number=row.no,
        hash=row.hash or "",
    )


async def _names(conn: AsyncConnection, subjects: set[str]) -> dict[str, _Named]:
    """Of `5` and `campaign 5` the campaign's public id, of `zone 5` the zone's code, of `member 5` the public id and
    the reference."""
    found: dict[str, _Named] = {}
    for kinds, id_, *named in (
        (("", "campaign"), campaign.c.id, campaign.c.public_id),
        (("zone",), zone.c.id, zone.c.code),
        (("member",), member.c.id, member.c.public_id, member.c.reference),
    ):
        meant: dict[int, list[str]] = {}
        for subject in subjects:
            kind, _, number = subject.rpartition(" ")
            if kind in kinds and number.isascii() and number.isdigit() and len(number) <= 18:
                meant.setdefault(int(number), []).append(subject)
        if meant:
            rows = await conn.execute(sa.select(id_, *named).where(id_.in_(list(meant))))
            for number, name, *reference in rows.all():
                if reference and _is_erased(reference[0], name):
                    reference = []
                found |= dict.fromkeys(meant[number], _Named(name, *reference))
    return found
