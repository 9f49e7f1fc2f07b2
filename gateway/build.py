"""The composition root: makes every part and hands it what it needs, in one straight line. Nothing runs yet."""

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from channels.catalogue import CarrierSettings, make_carrier
from channels.contract import Carrier, CarrierState, Channel, Content, Mode
from channels.email.bounce_intake import BounceIntake, BounceSettings
from channels.email.letter import MailSender
from channels.simulated.carrier import SimulatedSettings
from channels.sms.smpp.settings import SmppSettings
from gateway.campaigns.admission import Turns
from gateway.campaigns.alerts import AlertDesk
from gateway.campaigns.cancels import Preparer
from gateway.campaigns.limits import cap_limits
from gateway.campaigns.messages import MessageDesk
from gateway.campaigns.outlets import Outlets
from gateway.campaigns.parked import Parked
from gateway.campaigns.planning import Planner, Rates
from gateway.campaigns.refused import RefusedDocuments
from gateway.campaigns.zones import ZonePlanning
from gateway.directory.cache import SnapshotCache
from gateway.dispatch.carriers import Gate, LaneCarriers
from gateway.dispatch.contents import Contents, Make
from gateway.dispatch.expander import Expander
from gateway.dispatch.housekeeping import Chore, Housekeeping, store_chores
from gateway.dispatch.lane import Lane, LaneRules
from gateway.dispatch.receipts import ReceiptDesk
from gateway.dispatch.write_note import Noted, WriteNote, begin_note, read_note
from gateway.feed.publishing import Publisher
from gateway.feed.signing_key import FeedKey, read_feed_key
from gateway.http.health import MachineHealth
from gateway.http.services import Services
from gateway.media import MEDIA, Posting, prepare
from gateway.operations.backups import Schedule
from gateway.reports.addenda import amend_due
from gateway.reports.sealing import seal_due
from gateway.setbacks import Setbacks
from gateway.settings import EmailSettings, Settings, SmsSettings, VoiceSettings
from gateway.texts.content import read_content
from gateway.unsubscribing import LISTS, Unsubscribing, link
from store import audit, meta, persons, recovery, retention
from store.campaigns import Campaign, Text
from store.database import Database
from store.directory import addressees
from store.ledger import expire_lots
from store.overview import CarrierView
from store.refused_documents import RefusedQuota
from store.slots import Ceiling
from store.transaction import Transaction

log = logging.getLogger(__name__)

_VOICE = "voice"
"""The one ceiling above all trunks."""
_KEEPING_RESTS = 19.0
"""What is refused is written in a twentieth of the time, however much of it comes."""
_CLEARING_RESTS = 19.0
"""What is over goes in a twentieth of the time: a million deliveries in about half an hour."""
_ERASING_RESTS = 19.0
"""A person is looked for in what may be a million deliveries: in a twentieth of the time."""
_SEALING_RESTS = 4.0
"""Reports are sealed in a fifth of the time: in a storm of alerts every one of them ends in a report."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What this store calls itself to the outside."""

    generation: str
    bounce_key: bytes
    boot_id: str
    """Of this process."""
    note: WriteNote | None = None
    """Where a kill of this process is survived; None on PostgreSQL without `store.write_note`, and without room on the
    disk."""

    @property
    def node(self) -> str:
        """Under this name its lanes hold leases."""
        return f"{socket.gethostname()}-{self.boot_id}"


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    database: Database
    identity: Identity
    boot_id: str
    carriers: tuple[Carrier, ...]
    lanes: tuple[Lane, ...]
    expander: Expander
    housekeeping: Housekeeping
    receipts: ReceiptDesk
    bounces: BounceIntake | None
    services: Services
    """What the HTTP server needs of all this."""
    feed_key: FeedKey | None


@dataclass(slots=True)
class Disk:
    """Whether there is room to take on work; looked at once a second at most."""

    database: Database
    min_free_bytes: int
    _looked_s: float = -1.0
    _room: bool = True

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._looked_s >= 1.0:
            self._looked_s = now
            free = self.database.free_bytes()
            self._room = free is None or free >= self.min_free_bytes
        return self._room


async def identify(database: Database, settings: Settings) -> Identity:
    """The store's generation and keys; whoever held a lease of a SQLite file before this process is dead."""
    generation = await database.write(meta.generation)
    if settings.email.bounce_key:
        key = settings.email.bounce_key
    else:
        key = await database.write(lambda tx: meta.kept(tx, meta.BOUNCE_KEY, secrets.token_hex(16)))
    identity = Identity(generation, key.encode(), secrets.token_hex(8))
    path = _note_path(database, settings)
    noted = None if path is None else await asyncio.to_thread(read_note, path, generation)
    if database.sqlite:
        await database.write(recovery.end_all_leases)
        stepped_ms = await database.write(recovery.forget_the_future)
        if stepped_ms:
            log.warning("the clock was stepped back", extra={"action": "clock-stepped", "ms": stepped_ms})
    if noted is not None:
        await _take_up(database, noted)
    # Not before: until it is taken up, another kill must find it.
    note = None if path is None else await asyncio.to_thread(begin_note, path, generation, identity.node)
    return replace(identity, note=note)


def _process_name() -> str:
    """As `tocsin status` shows it: two on one machine are told apart."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def _note_path(database: Database, settings: Settings) -> Path | None:
    if settings.store.write_note:
        return Path(settings.store.write_note)
    return None if database.path is None else database.path.with_name(f"{database.path.name}-note")


async def _take_up(database: Database, noted: Noted) -> None:
    """What was in hand when the process before was killed, as far as it has noted what became of it."""
    await database.write(lambda tx: recovery.end_leases_of(tx, noted.node))
    alone: set[int] = set()
    in_doubt = 0

    async def work(tx: Transaction) -> list[recovery.Recovered]:
        return await recovery.recover(tx, left_alone=alone, evidence=noted, node_name=noted.node)

    while found := await database.write(work):
        in_doubt += sum(one.unknown for one in found)
    if in_doubt:
        about = {"action": "in-doubt-after-kill", "deliveries": in_doubt}
        log.warning("the process before was killed: what had been written and not answered is in doubt", extra=about)


def build(settings: Settings, database: Database, identity: Identity) -> Gateway:
    """Raises WrongChannel, OSError, ValueError for settings that cannot be built."""
    boot_id = identity.boot_id
    now_ms = database.clock.now_ms
    disk = Disk(database, settings.store.min_free_mib * 1_048_576)
    live = _live_carriers(settings, now_ms)
    simulated = _simulated_carriers(settings, now_ms)
    contents = Contents(database, _maker(settings, identity))
    lanes = tuple(
        _lane(channel, mode, carriers, settings, database, identity, identity.node, contents, disk)
        for mode, by_channel in ((Mode.LIVE, live), (Mode.SIMULATION, simulated))
        for channel, carriers in by_channel.items()
        if carriers
    )

    def ring(channel: Channel | None = None) -> None:
        for lane in lanes:
            if channel is None or lane.channel is channel:
                lane.bell.set()

    def how_carriers_are() -> list[CarrierView]:
        now_s = asyncio.get_running_loop().time()
        return [gate.view(now_s) for lane in lanes if lane.mode is Mode.LIVE for gate in lane.carriers.gates]

    expander = Expander(database, {c: MEDIA[c].batch_size for c in Channel}, ring, room_on_disk=disk)
    preparer = Preparer(database)
    feed_key = read_feed_key(settings.alerts.feed_certificate, settings.alerts.feed_key)
    sign = feed_key.sign if feed_key else None
    publisher = Publisher(database, sign, settings.server.public_url.rstrip("/"))
    prepare_bell, publish_bell = asyncio.Event(), asyncio.Event()

    def wake() -> None:
        expander.bell.set()
        prepare_bell.set()
        publish_bell.set()

    unsealed, unamended = Setbacks(), Setbacks()

    async def seal() -> bool:
        return bool(await seal_due(database, unsealed))

    async def amend() -> bool:
        await amend_due(database, unamended)
        return False

    async def expire() -> bool:
        return bool(await database.write(expire_lots, urgent=False))

    async def chain() -> bool:
        return await database.write(audit.link, urgent=False) == audit.LINKED_AT_ONCE

    async def erase() -> bool:
        return await persons.erase_some(database)

    keeping = retention.RetentionPeriods(
        settings.retention.deliveries_days, settings.retention.receipts_days, settings.retention.audit_days
    )

    async def clear() -> bool:
        return await database.write(lambda tx: retention.clear_some(tx, keeping), urgent=False)

    snapshots = SnapshotCache(database.read)
    planner = Planner(
        snapshots,
        frozenset(channel for channel, carriers in live.items() if carriers),
        _open_rates(settings, {Mode.LIVE: live, Mode.SIMULATION: simulated}),
        settings.alerts.zone_weight,
        _outlets(settings, database, live),
    )
    refused = RefusedDocuments(
        database,
        RefusedQuota(settings.alerts.keep_refused, settings.alerts.keep_refused_mib * 1_048_576),
        settings.alerts.keep_refused_days,
    )
    idle = Turns(per_account=settings.limits.at_once_per_account)
    alerts = AlertDesk(
        database,
        ZonePlanning(database, planner),
        disk,
        wake,
        settings.alerts.max_parked_per_account,
        settings.limits,
        idle,
        cap_limits(settings),
        refused,
    )
    receipts = ReceiptDesk(
        database,
        identity.generation,
        simulated=frozenset(c.name for cs in simulated.values() for c, _ in cs),
    )
    parked = Parked(database, alerts, int(settings.alerts.park_s * 1000))
    housekeeping = Housekeeping(
        (
            *store_chores(database, boot_id, _process_name(), ring, how_carriers_are),
            Chore("prepare", 1.0, preparer.run, prepare_bell),
            Chore("prepare-small", 1.0, preparer.run_small, prepare_bell),
            Chore("publish", 1.0, publisher.run, publish_bell),
            Chore("parked", 1.0, parked.run),
            Chore("refused", 60.0, refused.run, refused.bell, _KEEPING_RESTS),
            Chore("seal", 1.0, seal, rests=_SEALING_RESTS),
            Chore("addenda", 60.0, amend),
            Chore("lots", 60.0, expire),
            Chore("registers", 2.0, snapshots.keep_ready),
            Chore("audit", 1.0, chain),
            Chore("backup", 60.0, Schedule(database, settings.backup).run),
            Chore("retention", 60.0, clear, rests=_CLEARING_RESTS),
            Chore("erasures", 60.0, erase, rests=_ERASING_RESTS),
        )
    )
    health = MachineHealth(database, lanes, disk, refused)
    return Gateway(
        settings=settings,
        database=database,
        identity=identity,
        boot_id=boot_id,
        carriers=tuple(c for by_channel in (live, simulated) for cs in by_channel.values() for c, _ in cs),
        lanes=lanes,
        expander=expander,
        housekeeping=housekeeping,
        receipts=receipts,
        bounces=_bounces(settings, identity, receipts, now_ms),
        services=Services(
            database=database,
            alerts=alerts,
            refused=refused,
            messages=MessageDesk(database, planner, disk, wake, settings.limits, idle),
            readiness=health.readiness,
            measures=health.measures,
            server=settings.server,
            feed=settings.alerts,
            unsubscribe=Unsubscribing(database, identity.generation, identity.bounce_key),
            sign=sign,
        ),
        feed_key=feed_key,
    )


# ---- carriers and lanes --------------------------------------------------------------------------------------

_Carriers = dict[Channel, list[tuple[Carrier, tuple[Ceiling, ...]]]]


def _section(settings: Settings, channel: Channel) -> SmsSettings | EmailSettings | VoiceSettings:
    match channel:
        case Channel.SMS:
            return settings.sms
        case Channel.EMAIL:
            return settings.email
        case Channel.VOICE:
            return settings.voice


def _live_carriers(settings: Settings, now_ms: Callable[[], int]) -> _Carriers:
    return {
        channel: [
            (make_carrier(name, channel, Mode.LIVE, s, now_ms), _ceilings(settings, channel, name, s))
            for name, s in _section(settings, channel).carriers.items()
        ]
        for channel in Channel
    }


def _simulated_carriers(settings: Settings, now_ms: Callable[[], int]) -> _Carriers:
    given: Mapping[Channel, SimulatedSettings | None] = {
        Channel.SMS: settings.simulation.sms,
        Channel.EMAIL: settings.simulation.email,
        Channel.VOICE: settings.simulation.voice,
    }
    made: _Carriers = {}
    for channel in Channel:
        s = given[channel] or SimulatedSettings(
            name=f"simulated-{channel}", channel=channel, rate_per_s=_USUAL[channel]
        )
        carrier = make_carrier(s.name, channel, Mode.SIMULATION, s, now_ms)
        made[channel] = [(carrier, _ceilings(settings, channel, s.name, s))]
    return made


_USUAL = {Channel.SMS: 500.0, Channel.EMAIL: 2500.0, Channel.VOICE: 10.0}
"""Units a second of the service (BE-Alert FAQ): what a simulation behaves like."""


def _open_rates(settings: Settings, by_mode: Mapping[Mode, _Carriers]) -> Rates:
    """Asked for each preview: a carrier that is down or rests counts for nothing at that moment."""
    most = {Channel.VOICE: settings.voice.starts_per_minute / 60}

    def rates(mode: Mode) -> dict[Channel, float]:
        found: dict[Channel, float] = {}
        for channel, carriers in by_mode[mode].items():
            # Its own ceiling stands last (`_ceilings`).
            up = [ceilings[-1] for carrier, ceilings in carriers if carrier.status().state is CarrierState.UP]
            if up:
                rate = sum(ceiling.count / ceiling.window_s for ceiling in up)
                found[channel] = min(rate, most.get(channel, rate))
        return found

    return rates


def _outlets(settings: Settings, database: Database, live: _Carriers) -> Outlets:
    async def addresses(contact_ids: Sequence[int]) -> list[str]:
        async with database.read() as conn:
            return [found.address for found in (await addressees(conn, contact_ids)).values()]

    smscs = [s for s in settings.sms.carriers.values() if isinstance(s, SmppSettings)]
    by_channel = {channel: tuple(carrier for carrier, _ in carriers) for channel, carriers in live.items()}
    return Outlets(by_channel, frozenset(s.default_alphabet for s in smscs), addresses)


def _rate(settings: CarrierSettings) -> float:
    return settings.rate_per_s


def _ceilings(settings: Settings, channel: Channel, name: str, carrier: CarrierSettings) -> tuple[Ceiling, ...]:
    guard_s = _section(settings, channel).slot_guard_ms / 1000
    own = Ceiling(f"{channel}:{name}", _rate(carrier), 1.0, min(guard_s, 0.05))
    if channel is not Channel.VOICE:
        return (own,)
    return (Ceiling(_VOICE, settings.voice.starts_per_minute, 60.0, guard_s), own)


def _lane(
    channel: Channel,
    mode: Mode,
    carriers: list[tuple[Carrier, tuple[Ceiling, ...]]],
    settings: Settings,
    database: Database,
    identity: Identity,
    node: str,
    contents: Contents,
    disk: Disk,
) -> Lane:
    medium, section = MEDIA[channel], _section(settings, channel)
    return Lane(
        channel=channel,
        mode=mode,
        database=database,
        carriers=LaneCarriers(
            [Gate(carrier, ceilings) for carrier, ceilings in carriers], most_messages=2 * medium.batch_size
        ),
        rules=LaneRules(
            batches_at_once=section.batches_at_once,
            lease_ms=int(section.lease_s * 1000),
            retry_delays_ms=medium.retry_delays_ms,
            most_attempts=medium.most_attempts,
            most_resends=min(medium.most_attempts, 3),
            resend_wait_ms=medium.resend_wait_ms,
        ),
        generation=identity.generation,
        node=node,
        prepare=contents,
        room_on_disk=disk,
        note=identity.note,
    )


# ---- words ---------------------------------------------------------------------------------------------------


def _maker(settings: Settings, identity: Identity) -> Make:
    email = settings.email

    def make(campaign: Campaign, sender_name: str, text: Text) -> Content:
        sender = MailSender(
            name=sender_name or email.sender_name,
            address=email.sender_address,
            message_id_domain=email.message_id_domain,
            bounce_domain=email.bounce_domain,
            bounce_key=identity.bounce_key,
        )
        # RFC 2919: letters, digits and hyphens; a zone's code may be anything.
        label = re.sub(r"[^a-z0-9]+", "-", campaign.zone_code.lower()).strip("-") or "zone"
        list_id = f"{label}.{email.message_id_domain}".lower()
        unsubscribe = link(settings.server.public_url) if campaign.kind in LISTS else ""
        posting = Posting(sender=sender, date_ms=campaign.starts_ms, list_id=list_id, unsubscribe=unsubscribe)
        return prepare(Channel(text.channel), text.language, read_content(text.content), posting)

    return make


def _bounces(
    settings: Settings, identity: Identity, receipts: ReceiptDesk, now_ms: Callable[[], int]
) -> BounceIntake | None:
    listener = settings.email.bounces
    if not listener.enabled:
        return None
    believed = BounceSettings(
        domain=settings.email.bounce_domain,
        key=identity.bounce_key,
        carrier="bounces",
        host=listener.host,
        port=listener.port,
        dialect=listener.dialect,
    )
    return BounceIntake(believed, receipts, now_ms)
