"""The composition root: makes every part and hands it what it needs, in one straight line. Nothing runs yet."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from channels.contract import Carrier, Channel, Mode
from channels.email.bounce_intake import BounceIntake, BounceSettings
from channels.processes.supervisor import CarriersProcess
from channels.sms.smpp.settings import SmppSettings
from gateway.access.account_desk import AccountDesk
from gateway.access.approval_desk import ApprovalDesk
from gateway.access.break_glass_desk import BreakGlassDesk
from gateway.access.courses import CourseDesk
from gateway.access.factor_desk import FactorDesk
from gateway.access.granting import granting
from gateway.access.invitation_desk import InvitationDesk
from gateway.access.key_desk import KeyDesk
from gateway.access.link_desk import LinkDesk
from gateway.access.profile_desk import ProfileDesk
from gateway.access.sign_in_desk import SignInDesk
from gateway.access.sign_in_parts import sign_in_parts
from gateway.access.sign_in_site import base_url
from gateway.bell import Bell
from gateway.campaigns.admission import Turns
from gateway.campaigns.alert_desk import AlertDesk
from gateway.campaigns.cancels import Preparer
from gateway.campaigns.hold_desk import HoldDesk
from gateway.campaigns.limits import cap_limits
from gateway.campaigns.message_desk import MessageDesk
from gateway.campaigns.parked import Parked
from gateway.campaigns.planning import Planner
from gateway.campaigns.refused import RefusedDocuments
from gateway.campaigns.what_carriers_take import Outlets
from gateway.campaigns.zones import ZonePlanning
from gateway.chores import notice_chores, record_chores
from gateway.directory.cache import SnapshotCache
from gateway.directory.help_book import HelpBook
from gateway.dispatch.contents import Contents, content_maker, notice_maker
from gateway.dispatch.expander import Expander
from gateway.dispatch.housekeeping import Chore, Housekeeping, store_chores
from gateway.dispatch.lane import Lane
from gateway.dispatch.receipts import ReceiptDesk
from gateway.dispatch.unsubscribing import Unsubscribing
from gateway.feed.publishing import Publisher
from gateway.feed.signing_key import FeedKey, read_feed_key
from gateway.http.health import MachineHealth
from gateway.http.services import PlatformHelp, Services
from gateway.identity import Identity, process_name
from gateway.lanes import Gates, carriers_processes, live_gates, make_lane, open_rates, simulated_gates
from gateway.media import MEDIA
from gateway.notices.account_notices import AccountNotices
from gateway.notices.machine_facts import FactFinder
from gateway.operations.disk import Disk
from gateway.operations.help_files import read_documents
from gateway.operations.loop_lag import LoopLag
from gateway.server_certificate import RenewedCertificate
from gateway.settings import Settings
from store.campaigns.refused_documents import RefusedQuota
from store.engine.database import Database
from store.outbox.overview import CarrierView
from store.register.reading import addressees

log = logging.getLogger(__name__)

_APPROVALS_S = 5.0
"""How late what was granted alone is done at most, and what nobody decided ends."""
_CERTIFICATE_S = 10.0
"""How often it is looked whether the door's certificate was renewed."""
_HELP_S = 10.0
"""How often it is looked whether zones have other help lines."""
_KEEPING_RESTS = 19.0
"""What is refused is written in a twentieth of the time, however much of it comes."""


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    database: Database
    identity: Identity
    boot_id: str
    processes: tuple[CarriersProcess, ...]
    """Those in which some of the carriers live."""
    carriers: tuple[Carrier, ...]
    lanes: tuple[Lane, ...]
    expander: Expander
    housekeeping: Housekeeping
    loop_lag: LoopLag
    receipts: ReceiptDesk
    bounces: BounceIntake | None
    services: Services
    """What the HTTP server needs of all this."""
    feed_key: FeedKey | None
    certificate: RenewedCertificate | None
    """Of the door, where it speaks TLS."""


def build(settings: Settings, database: Database, identity: Identity) -> Gateway:
    """The gateway of these settings. Raises WrongChannel, OSError or ValueError for settings that cannot be built."""
    boot_id = identity.boot_id
    now_ms = database.clock.now_ms
    disk = Disk(database, settings.store.min_free_mib * 1_048_576)
    locks = () if database.lock is None else (database.lock,)
    processes = carriers_processes(settings, identity.note.begun, locks, now_ms)
    live, simulated = live_gates(settings, now_ms, processes), simulated_gates(settings, now_ms)
    contents = Contents(
        database,
        content_maker(settings.email, settings.server.public_url, identity.bounce_key),
        notice_maker(settings.email, identity.bounce_key),
    )
    lanes = tuple(
        make_lane(channel, mode, gates, settings, database, identity, contents, disk)
        for mode, by_channel in ((Mode.LIVE, live), (Mode.SIMULATION, simulated))
        for channel, gates in by_channel.items()
        if gates
    )

    def ring(channel: Channel | None = None) -> None:
        for lane in lanes:
            if channel is None or lane.channel is channel:
                lane.bell.ring()

    def how_carriers_are() -> list[CarrierView]:
        now_s = asyncio.get_running_loop().time()
        return [gate.view(now_s) for gates in live.values() for gate in gates]

    def node_name() -> str:
        return process_name([process.view() for process in processes.values()])

    expander = Expander(database, {c: MEDIA[c].batch_size for c in Channel}, ring, room_on_disk=disk)
    preparer = Preparer(database)
    feed_key = read_feed_key(settings.alerts.feed_certificate, settings.alerts.feed_key)
    sign = feed_key.sign if feed_key else None
    tls = settings.server
    certificate = RenewedCertificate(tls.tls_certificate, tls.tls_key) if tls.tls_certificate else None
    publisher = Publisher(database, sign, settings.server.public_url.rstrip("/"))
    prepare_bell, publish_bell = Bell(), Bell()

    def wake() -> None:
        expander.bell.ring()
        prepare_bell.ring()
        publish_bell.ring()

    snapshots = SnapshotCache(database.read)
    book = HelpBook(database, settings.help)
    planner = Planner(
        snapshots,
        frozenset(channel for channel, gates in live.items() if gates),
        open_rates(settings, {Mode.LIVE: live, Mode.SIMULATION: simulated}),
        settings.alerts.zone_weight,
        _outlets(settings, database, live),
        book.whom_to_ask,
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
        simulated=frozenset(gate.name for gates in simulated.values() for gate in gates),
    )
    parked = Parked(database, alerts, int(settings.alerts.park_s * 1000))
    told = AccountNotices(base_url(settings.server), book.lines_of)
    signing_in = sign_in_parts(
        database,
        settings.server,
        settings.sign_in,
        identity.sign_in_key,
        lambda: any(lane.batches_held for lane in lanes),
        told.factor,
    )
    links = LinkDesk(signing_in, told.reset)
    shut = signing_in.book.forget
    approvals = ApprovalDesk(database, granting(told.invitation, told.factor), (told.approval,), shut)
    loop_lag = LoopLag()
    health = MachineHealth(database, lanes, disk, refused, loop_lag, tuple(processes.values()), certificate)
    find = FactFinder(
        database,
        settings,
        socket.gethostname(),
        loop_lag.times,
        lambda: [process.view() for process in processes.values()],
        (lambda now_ms: certificate.current.warning(now_ms)) if certificate else lambda _: "",
    )
    housekeeping = Housekeeping(
        (
            *store_chores(database, boot_id, node_name, ring, how_carriers_are),
            Chore("prepare", 1.0, preparer.run, prepare_bell),
            Chore("prepare-small", 1.0, preparer.run_small, prepare_bell),
            Chore("publish", 1.0, publisher.run, publish_bell),
            Chore("parked", 1.0, parked.run),
            Chore("approvals", _APPROVALS_S, approvals.run_due),
            Chore("refused", 60.0, refused.run, refused.bell, _KEEPING_RESTS),
            Chore("registers", 2.0, snapshots.keep_ready),
            Chore("help", _HELP_S, book.refresh),
            Chore("resets", 1.0, links.run),
            Chore("sign-ins", 60.0, signing_in.forget),
            *record_chores(database, settings, book.lines_of),
            *notice_chores(database, settings, find, health.trouble, book.lines_of),
            *_certificate_chores(certificate, now_ms),
        )
    )
    return Gateway(
        settings=settings,
        database=database,
        identity=identity,
        boot_id=boot_id,
        processes=tuple(processes.values()),
        carriers=tuple(gate.carrier for by in (live, simulated) for gates in by.values() for gate in gates),
        lanes=lanes,
        expander=expander,
        housekeeping=housekeeping,
        loop_lag=loop_lag,
        receipts=receipts,
        bounces=_bounces(settings, identity, receipts, now_ms),
        services=Services(
            database=database,
            alerts=alerts,
            refused=refused,
            messages=MessageDesk(database, planner, disk, wake, settings.limits, idle),
            holds=HoldDesk(database, settings.carrier_names, ring),
            approvals=approvals,
            readiness=health.readiness,
            measures=health.measures,
            server=settings.server,
            limits=settings.limits,
            feed=settings.alerts,
            unsubscribe=Unsubscribing(database, identity.generation, identity.bounce_key),
            help=PlatformHelp(book, read_documents(settings.help)),
            courses=CourseDesk(database),
            accounts=AccountDesk(database, approvals, told.invitation, shut, told.factor),
            invitations=InvitationDesk(database, told.invitation),
            keys=KeyDesk(database, approvals),
            profile=ProfileDesk(database),
            sign_in=SignInDesk(signing_in),
            break_glass=BreakGlassDesk(signing_in, (told.break_glass,)),
            factors=FactorDesk(signing_in),
            links=links,
            sign=sign,
            handshake_context=certificate.context if certificate else None,
        ),
        feed_key=feed_key,
        certificate=certificate,
    )


def _certificate_chores(certificate: RenewedCertificate | None, now_ms: Callable[[], int]) -> tuple[Chore, ...]:
    if certificate is None:
        return ()

    async def look() -> bool:
        await asyncio.to_thread(certificate.look, now_ms())
        return False

    return (Chore("certificate", _CERTIFICATE_S, look),)


def _outlets(settings: Settings, database: Database, live: Gates) -> Outlets:
    async def addresses(contact_ids: Sequence[int]) -> list[str]:
        async with database.read() as conn:
            return [found.address for found in (await addressees(conn, contact_ids)).values()]

    smscs = [s for s in settings.sms.carriers.values() if isinstance(s, SmppSettings)]
    by_channel = {channel: tuple(gate.carrier for gate in gates) for channel, gates in live.items()}
    return Outlets(by_channel, frozenset(s.default_alphabet for s in smscs), addresses)


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
