"""The handler of the audit: who did what, on whose behalf, from where. That it was read is a line, too."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from gateway.access.rights import Action, Caller
from gateway.errors import Refusal
from gateway.http import readings
from gateway.http.asking import Answer, Asked
from gateway.http.pages import USUAL, Limit, heading, link
from store import audit_reading
from store.audit_reading import AuditLine, LinePlace
from store.engine.storable_text import readable

_PATH = "/api/v1/audit"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MASKED = "…"
Via = Literal["http", "cli", "server"]
ApartIs = Literal["none", "shown", "masked", "erased"]
_Word = Annotated[str, msgspec.Meta(max_length=64)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class FindLines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: _Word = ""
    """Code of who did it, or of the account on whose behalf."""
    action: _Word = ""
    """launch, stop, hold, resume, rights, key-make, load, deliveries-read, ..."""
    subject: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """A campaign's id, a zone's code, a key's id, a member's reference in the register; or with its kind: `zone 5301`,
    `member 5301-0000003`, `channel sms`."""
    zone: _Word = ""
    """Code of the zone whose business it is."""
    since: _Instant | None = None
    until: _Instant | None = None
    """Lines before this instant."""
    after: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{1,15}-[0-9]{1,18})?\Z")] = ""
    """Where to go on: as `next` of the page before says."""
    limit: Limit = USUAL


class WrittenLine(msgspec.Struct, frozen=True, kw_only=True):
    """One act, or one reading, as it was written down."""

    number: int | None
    """Its place in the chain; null for a second or so, until it is chained."""
    hash: str | None
    """The chain's hash up to here: kept elsewhere it shows that no line was changed or taken away."""
    at_ms: int
    account: str | None
    """Who did it; null: somebody at the server's terminal, or the server by itself."""
    on_behalf_of: str | None
    """The account on whose behalf; null: its own."""
    via: Via
    """From where."""
    zone: str | None
    """Whose business it is; null: of no zone, or of all."""
    action: str
    subject: str
    """What it was done to: a campaign's id, `zone 5301`, a key's id."""
    reference: str | None
    """Of a member, as the register has it; null: it was done to something else, the member was erased, or the caller
    may see the machine and not the people."""
    detail: Any
    """Ids and words of the house."""
    apart: dict[str, Any] | None
    """What is personal: the client's `address`, the user at the terminal (`by`), a `reason`, what stood before."""
    apart_is: ApartIs
    """Masked for who may see the machine and not the people; erased: it went, and the line stays as it was."""


class LinesOfAudit(msgspec.Struct, frozen=True, omit_defaults=True):
    lines: tuple[WrittenLine, ...]
    next: str = ""
    """Where the list goes on; absent at its end. A page may be short, or empty, and have one."""


async def find(asked: Asked[FindLines, None]) -> Answer:
    """The newest first. Whoever has the right for some zones sees the lines that are theirs alone. Reading it is a
    line, one within each quarter of an hour for the same question; what is asked beyond 20 questions is one more."""
    query, caller = asked.query, asked.caller
    zones = _seen_by(caller)
    words = {name: readable(getattr(query, name)) for name in ("account", "action", "subject", "zone")}
    named_to = caller.whole_zones(Action.AUDIT)
    wanted = audit_reading.WantedLines(
        **words, zones=zones, registers=named_to, since_ms=_ms(query.since) or 0, until_ms=_ms(query.until)
    )  # fmt: skip
    async with asked.context.services.database.read() as conn:
        found, ends = await audit_reading.page(conn, wanted, query.limit, _place(query.after))
        subject = await audit_reading.question_of(conn, wanted)
    instants = {name: None if at is None else at.isoformat() for name, at in _instants(query).items()}
    asked_for = {name: value for name, value in {**words, **instants}.items() if value}
    apart = {**asked_for, "subject": subject} if subject else asked_for
    own_zone = next(iter(zones)) if zones is not None and len(zones) == 1 else None
    await readings.keep(asked, readings.reading_of(asked, "audit-read", "audit", zone_id=own_zone, apart=apart))
    next_ = ""
    if ends is not None:
        next_ = link(_PATH, **asked_for, after=f"{ends.at_ms}-{ends.id}", limit=query.limit)
    shown = tuple(_shown(line, masked=named_to is not None and line.zone_id not in named_to) for line in found)
    return Answer(LinesOfAudit(shown, next_), headers=heading(next_))


def _seen_by(caller: Caller) -> frozenset[int] | None:
    """The zones whose lines the caller may see; None: all lines, also those of no zone. Raises Refusal 403."""
    held = [caller.whole_zones(action) for action in (Action.AUDIT, Action.OPERATE)]
    if None in held:
        return None
    zones = frozenset(zone for some in held if some is not None for zone in some)
    if not zones:
        raise Refusal(403, "no-right", "This account has no right to audit a whole zone.")
    return zones


def _shown(line: AuditLine, *, masked: bool) -> WrittenLine:
    apart = line.apart
    if apart is not None and masked:
        apart = dict.fromkeys(apart, _MASKED)
    state: ApartIs = "erased" if line.erased else "none" if apart is None else "masked" if masked else "shown"
    via: Via = line.via or "server"
    return WrittenLine(
        number=line.number,
        hash=line.hash or None,
        at_ms=line.at_ms,
        account=line.account or None,
        on_behalf_of=line.behalf or None,
        via=via,
        zone=line.zone or None,
        action=line.action,
        subject=line.about,
        reference=None if masked else line.reference or None,
        detail=line.detail,
        apart=apart,
        apart_is=state,
    )


def _instants(query: FindLines) -> dict[str, datetime | None]:
    return {"since": query.since, "until": query.until}


def _ms(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)


def _place(after: str) -> LinePlace | None:
    at_ms, _, id_ = after.partition("-")
    return LinePlace(int(at_ms), int(id_)) if id_ else None
