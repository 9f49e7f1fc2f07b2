"""One stream for all that a screen watches: the state of each topic when it opens, and again whenever it has changed.

An event's id names every topic with the revision that was shown. Whoever comes back with it, to whichever node, is
sent again what differs: no log is kept. Other topics are another stream.
"""

import asyncio
import contextlib
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from aiohttp import web

from gateway.access.rights import Action, Caller, nowhere
from gateway.campaigns import rights_over_campaigns
from gateway.errors import Reason, Refusal
from gateway.fault_words import CAUSES as OF_VALUES
from gateway.http import views
from gateway.http.admission import still_of
from gateway.http.asking import Asked
from gateway.http.context import HttpContext
from gateway.http.progress import Frame, Watched
from gateway.http.query import CAUSES as OF_PARAMETERS
from gateway.http.sse import EventWire, glance, opened
from gateway.http.standing import StreamStanding
from gateway.http.topics import CampaignsTopic, HoldsTopic
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign

MOST_TOPICS = 20
_LONGEST = 2_000
_SHOWN = re.compile(r"([A-Za-z0-9_:-]{1,80})=([0-9]{1,19}(?:\.[a-z_]{0,20})?)")
_LISTS = ("campaigns", "holds")
_CHOICES = (*_LISTS, "campaign:ID")


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topics: Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST, examples=["campaigns,campaign:x7Kd0c"])]
    """At most twenty, with commas: `campaigns`, `holds`, `campaign:ID`."""


class ListChange(msgspec.Struct, frozen=True):
    """A list has changed, and may be read again."""

    href: str


class WatchedList(msgspec.Struct, frozen=True):
    """A list that is watched."""

    topic: str
    state: ListChange


class WatchedCampaign(msgspec.Struct, frozen=True):
    """A campaign that is watched, as it is now."""

    topic: str
    state: views.CampaignProgress


@dataclass(slots=True)
class _Followed:
    """A topic of one stream, and the revision of it that the watcher has seen."""

    name: str
    watched: Watched
    seen: str = ""

    def news(self) -> Frame | None:
        frame = self.watched.latest
        return frame if frame is not None and _revision(frame) != self.seen else None


async def stream(asked: Asked[Topics, None]) -> web.StreamResponse:
    """The state of each topic at once, and again with every change; after fifteen minutes it ends, to be opened anew
    with `Last-Event-ID`. A topic that this account may not see is 404, as one that there is not. The stream ends within
    five seconds once the key or session is not good any more, or its account sees less of a topic, or more."""
    request, context = asked.request, asked.context
    names = _names(asked.query)
    found = {name: await _campaign(asked, name) for name in names if name not in _LISTS}
    topics = _topics(asked.caller, names, found)
    if request.method == "HEAD":
        return opened()
    seen = dict(_SHOWN.findall(request.headers.get("Last-Event-ID", "")[:4_000]))
    bell = asyncio.Event()
    standing = StreamStanding(still_of(request, context), lambda caller: _watches_the_same(caller, topics, found))
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(context.progress_watch.admitted(asked.caller.account_id))
        stack.enter_context(context.metrics.streams.track_inprogress())
        followed = []
        for name, topic in topics.items():
            watched = await stack.enter_async_context(context.progress_watch.follow(topic))
            watched.bells.add(bell)
            stack.callback(watched.bells.discard, bell)
            followed.append(_Followed(name, watched, seen.get(name, "")))
        response = opened()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            wire = EventWire(request, response)
            await _written(wire, followed, bell, standing, context)
            await wire.end()
    return response


async def _written(
    wire: EventWire, followed: list[_Followed], bell: asyncio.Event, standing: StreamStanding, context: HttpContext
) -> None:
    now_s = asyncio.get_running_loop().time
    until_s = now_s() + context.stream_life_s
    await wire.write(b"retry: 2000\n\n")
    while not wire.gone and await standing.lasts():
        bell.clear()  # before looking, so that no change is missed
        for one in followed:
            frame = one.news()
            if frame is not None:
                one.seen = _revision(frame)
                await wire.write(_event(one.name, frame, followed))
        # A campaign whose report is sealed says no more; a poller that failed is made anew with the next stream.
        if all(one.watched.over for one in followed) or now_s() >= until_s:
            return
        await glance(bell, context.heartbeat_s)
        if wire.quiet_s >= context.heartbeat_s:
            await wire.write(b":\n\n")


def _event(name: str, frame: Frame, followed: list[_Followed]) -> bytes:
    # The state is encoded once for all who watch it.
    shown = ",".join(f"{one.name}={one.seen}" for one in followed if one.seen)
    kind = name.partition(":")[0] if ":" in name else "list"
    about = (shown.encode(), kind.encode(), name.encode(), frame.data)
    return b'id: %s\nevent: %s\ndata: {"topic":"%s","state":%s}\n\n' % about


def _revision(frame: Frame) -> str:
    """A state may change without its counters, and a report be sealed without either."""
    return f"{frame.id}.{'sealed' if frame.last else frame.state}"


def _names(query: Topics) -> list[str]:
    """Raises Refusal 400 for too many."""
    names = list(dict.fromkeys(query.topics.split(",")))
    if len(names) > MOST_TOPICS:
        raise _refused("topics", (str(MOST_TOPICS), str(len(names))))
    return names


async def _campaign(asked: Asked[Any, Any], name: str) -> Campaign:
    """The campaign that a topic names. What of it decides who may see it does not change. Raises Refusal: 400 for what
    is no topic, 404."""
    kind, _, public_id = name.partition(":")
    if kind != "campaign" or not public_id:
        raise _refused("choice", (name[:60], ", ".join(_CHOICES)))
    async with asked.context.services.database.read() as conn:
        found = await campaigns.by_public_id(conn, public_id[:64])
    if found is None:
        raise _no_such(name)
    return found


def _topics(caller: Caller, names: list[str], found: Mapping[str, Campaign]) -> dict[str, Hashable]:
    """What a caller watches by these names. Raises Refusal: 403, and 404 for a campaign that is not to be seen."""
    return {name: _topic(caller, name, found.get(name)) for name in names}


def _topic(caller: Caller, name: str, campaign: Campaign | None) -> Hashable:
    if campaign is None:
        if name == "campaigns":
            return CampaignsTopic(_zones(caller, Action.READ))
        return HoldsTopic(_zones(caller, Action.OPERATE))
    if not rights_over_campaigns.sees(caller, campaign):
        raise _no_such(name)
    return campaign.id


def _watches_the_same(caller: Caller, topics: dict[str, Hashable], found: Mapping[str, Campaign]) -> bool:
    """Whether a caller who opened these now would watch what this stream shows."""
    try:
        return _topics(caller, list(topics), found) == topics
    except Refusal:
        return False


def _zones(caller: Caller, action: Action) -> tuple[int, ...] | None:
    """Where this is allowed, ascending; None: in all zones. Raises Refusal 403 for nowhere."""
    zones = caller.zone_ids(action)
    if zones is not None and not zones:
        title = f"This account has no right to {action} in any zone."
        raise Refusal(403, "no-right", title, (nowhere(action),))
    return None if zones is None else tuple(sorted(zones))


def _no_such(name: str) -> Refusal:
    return Refusal(404, "no-such-campaign", "There is no such campaign.", detail=name.partition(":")[2][:64])


def _refused(cause: str, facts: tuple[str, ...]) -> Refusal:
    text, remedy = (words.format(*facts) for words in {**OF_VALUES, **OF_PARAMETERS}[cause])
    choices = _CHOICES if cause == "choice" else ()
    reason = Reason("PARAM", text, path="topics", remedy=remedy, cause=cause, facts=facts, choices=choices)
    return Refusal(400, "bad-parameter", "A parameter is not as it should be.", (reason,))
