"""The handlers of holds: what is held, holding, letting go."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web

from gateway.access.rights import Caller
from gateway.campaigns import rights_over_holds
from gateway.campaigns.hold_desk import MOST_AT_ONCE, HoldChange, HoldRequest, HoldScope, PlacedHold
from gateway.errors import Reason, Refusal
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.languages import Tongue
from gateway.http.pages import USUAL, Limit, heading, link
from gateway.http.preconditions import etag_of, require_match
from store.errors import Conflict
from store.outbox.hold_statements import Hold

_PATH = "/api/v1/holds"
_TRIES = 5
"""Of a change that another one came before, though the caller takes any."""


class FindHolds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """The place after which the page begins, as `next` of the page before says."""
    limit: Limit = USUAL


class BatchMode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    partial: bool = False
    """What can be held is held, whatever is refused of the others. Else it is all or nothing. A body that is not as it
    should be, as with a `scope` that there is not, is refused whole all the same."""


class HoldBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Holds to be placed together."""

    holds: Annotated[tuple[HoldRequest, ...], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)]


class StandingHold(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps messages from leaving; they wait, and go on when it is lifted."""

    id: str
    href: str
    scope: HoldScope
    subject: str
    """sms, email or voice; a carrier's name; a zone's code; a campaign's id; empty for `all`."""
    reason: str
    account: str | None
    """That placed it; null: somebody at the machine's terminal, or a restore."""
    by: str
    """Whoever placed it: the account, or a user of the machine."""
    at_ms: int
    revision: int
    changed_by: str
    changed_ms: int
    read_only: bool
    """It concerns the caller's zones, and is not the caller's to change or lift."""
    of_restore: bool
    """A restore holds this campaign, perhaps beside whoever placed the hold before: it may have been sent since the
    backup. Neither changed nor lifted here: `tocsin retire` or `tocsin resume campaign` decides, at the machine's
    terminal."""


class HoldList(msgspec.Struct, frozen=True, omit_defaults=True):
    holds: tuple[StandingHold, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class PartRefused(msgspec.Struct, frozen=True):
    """Why a part of a batch was refused."""

    code: str
    """A stable word for programs."""
    title: str
    """One sentence for people, in their language."""
    problems: tuple[Reason, ...]


class PartPlaced(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one of a batch."""

    index: int
    """Its place in the batch, from 0."""
    status: int
    """201: it was placed; 200: it stood already; anything else: it was refused."""
    id: str = ""
    href: str = ""
    problem: PartRefused | None = None


class BatchOfHolds(msgspec.Struct, frozen=True):
    results: tuple[PartPlaced, ...]


# ---- reading ---------------------------------------------------------------------------------------------


async def listing(asked: Asked[FindHolds, None]) -> Answer:
    """The oldest first: those of the caller's zones, and those of every zone, which hold up the caller's as well."""
    limit = asked.query.limit
    found, after = await asked.context.services.holds.listing(asked.caller, asked.query.after, limit)
    next_ = "" if after is None else link(_PATH, after=after, limit=limit)
    return Answer(HoldList(tuple(_shown(one, asked.caller) for one in found), next_), headers=heading(next_))


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """With its ETag, by which it is changed and lifted."""
    return _answer(await asked.context.services.holds.read(asked.caller, asked.id), asked.caller)


# ---- deciding --------------------------------------------------------------------------------------------


async def place(asked: Asked[NoQuery, HoldRequest]) -> Answer:
    """From the answer on nothing more is granted; what was granted leaves within a quarter of a second. What is held
    already stays held as it is: 200, with the hold that stands."""
    placed = await asked.context.services.holds.place(asked.caller, asked.body)
    location = {"Location": _href(placed.hold)}
    return _answer(placed.hold, asked.caller, 201 if placed.created else 200, location)


async def place_all(asked: Asked[BatchMode, HoldBatch]) -> Answer:
    """Up to 500 together. All or nothing: with `partial` what can be held is held. Each has its own outcome."""
    desk, tongue = asked.context.services.holds, asked.tongue()
    outcomes = await desk.place_all(asked.caller, asked.body.holds, in_part=asked.query.partial)
    results = tuple(_part(index, outcome, tongue) for index, outcome in enumerate(outcomes))
    return Answer(BatchOfHolds(results), tongue=tongue)


async def change(asked: Asked[NoQuery, HoldChange]) -> Answer:
    """Another reason; of what it holds nothing changes."""
    desk = asked.context.services.holds
    for _ in range(_TRIES):
        changed = await desk.change(asked.caller, await _seen(asked), asked.body)
        if changed is not None:
            return _answer(changed, asked.caller)
    raise Conflict


async def lift(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """What waited goes on from here."""
    desk = asked.context.services.holds
    for _ in range(_TRIES):
        if await desk.lift(asked.caller, await _seen(asked)):
            return web.Response(status=204)
    raise Conflict


async def _seen(asked: Asked[Any, Any]) -> Hold:
    """As it stands, and as the caller has seen it. Raises Refusal: 404, 428, 412."""
    found = await asked.context.services.holds.read(asked.caller, asked.id)
    require_match(asked.request, found.revision, found.changed_by, found.changed_ms)
    return found


# ---- words -----------------------------------------------------------------------------------------------


def _href(hold: Hold) -> str:
    return f"{_PATH}/{hold.public_id}"


def _answer(hold: Hold, caller: Caller, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(_shown(hold, caller), status, {"ETag": etag_of(hold.revision), **(headers or {})})


def _shown(hold: Hold, caller: Caller) -> StandingHold:
    return StandingHold(
        id=hold.public_id,
        href=_href(hold),
        scope=msgspec.convert(hold.scope, HoldScope),
        subject=hold.name,
        reason=hold.reason,
        account=hold.account or None,
        by=hold.by,
        at_ms=hold.at_ms,
        revision=hold.revision,
        changed_by=hold.changed_by,
        changed_ms=hold.changed_ms,
        read_only=hold.of_restore or not rights_over_holds.holds(caller, hold.zone_id),
        of_restore=hold.of_restore,
    )


def _part(index: int, outcome: PlacedHold | Refusal, tongue: Tongue) -> PartPlaced:
    if isinstance(outcome, PlacedHold):
        status = 201 if outcome.created else 200
        return PartPlaced(index, status, outcome.hold.public_id, _href(outcome.hold))
    told = PartRefused(outcome.code, tongue.title(outcome.code, outcome.title), outcome.reasons)
    return PartPlaced(index, outcome.status, problem=told)
