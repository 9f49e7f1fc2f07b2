"""Alarms reach the operators by a path that is not the failing one, once, over restarts and several servers."""

import sqlalchemy as sa

from gateway.notices.alarm_desk import AlarmDesk, alarm_of, unheard
from gateway.notices.machine_facts import FactFinder, MachineFacts
from gateway.notices.occasions import euros
from gateway.operations.alarms import AlarmKind, Observation
from gateway.settings import AlarmSettings, BackupSettings, Settings, StoreSettings
from store import audit, copies
from store.copies import Copied
from store.engine.wait_times import WaitTimes
from store.money import ledger
from store.notices import alarms as rows
from store.notices import reading as notices
from store.notices import webhooks
from store.notices.alarms import ZoneBalance
from store.outbox import holds
from store.outbox.overview import CarrierView, seen
from store.tables import account, account_right, alarm, campaign
from tests.store import makers as make

SETTINGS = AlarmSettings(
    emails=("duty@example.org",), mobiles=("+32470123456",), language="nl", webhook_url="https://hook.example",
    escalate_s=60.0,
)  # fmt: skip


RELAY = CarrierView("relay", "email", "live", "up", "")
FIRST = CarrierView("first", "sms", "live", "up", "")


class Machine:
    """A desk over facts that a test makes."""

    def __init__(self, database, settings=SETTINGS):
        self.database = database
        self.bad, self.failing, self.low = [], frozenset(), ()
        self.desk = AlarmDesk(database, settings, self.look)

    async def look(self):
        observed = tuple(Observation(AlarmKind.DISK_LOW, about, bad=True, value="1 MiB") for about in self.bad)
        return MachineFacts(observed, frozenset({AlarmKind.DISK_LOW}), self.failing, self.low)

    async def looks(self):
        await self.desk.run()

    async def minutes_pass(self):
        await self.database.write(lambda tx: tx.run(sa.update(alarm).values(
            told_ms=alarm.c.told_ms - 60_000, since_ms=alarm.c.since_ms - 600_000
        )))  # fmt: skip

    async def told(self):
        """(subject, channel) of all notices, the oldest first."""
        async with self.database.read() as conn:
            found = list(reversed(await notices.page(conn, before=None, most=50)))
            sent = [one for one in found if one.campaign_id is not None]
            by = await notices.deliveries(conn, [one.campaign_id for one in sent])
        return [(one.subject, d.channel) for one in sent for d in by[one.campaign_id]]

    async def alarm(self):
        async with self.database.read() as conn:
            [row] = (await conn.execute(sa.select(alarm))).mappings().all()
        return alarm_of(row)


async def calls(database):
    async with database.read() as conn:
        return [row.type for row in await conn.execute(sa.text("SELECT type FROM webhook_call ORDER BY id"))]


async def test_an_alarm_is_told_once_by_the_first_path_and_its_end_by_the_same(database):
    machine = Machine(database)
    machine.bad = ["host"]
    for _ in range(3):
        await machine.looks()
    assert await machine.told() == [("alarm", "email")]
    await make.sent(database, "email")
    await machine.looks()
    assert (await machine.alarm()).confirmed_ms is not None
    await machine.minutes_pass()
    await Machine(database).desk.run()
    assert await machine.told() == [("alarm", "email")], "a restart repeats nothing"

    machine.bad = []
    await machine.looks()
    await machine.minutes_pass()
    await machine.looks()
    await machine.looks()
    assert await machine.told() == [("alarm", "email"), ("alarm", "email")]
    async with database.read() as conn:
        [last, _] = await notices.page(conn, before=None, most=5)
        [text] = (await notices.words(conn, last.campaign_id)).texts
    assert "Voorbij: De schijf is bijna vol: 1 MiB." in text.content


async def test_a_path_that_does_not_confirm_in_time_is_followed_by_the_next(database):
    machine = Machine(database)
    machine.bad = ["host"]
    await machine.looks()
    await machine.looks()
    assert await machine.told() == [("alarm", "email")]
    await machine.minutes_pass()
    await machine.looks()
    assert await machine.told() == [("alarm", "email"), ("alarm", "sms")]
    assert await calls(database) == []
    await machine.minutes_pass()
    await machine.looks()
    assert await calls(database) == ["alarm.raised"]
    assert await unheard(database, SETTINGS) == [], "the last path has its time"
    await machine.minutes_pass()
    assert [one.about for one in await unheard(database, SETTINGS)] == ["host"]

    call = await database.write(lambda tx: webhooks.begin(tx, 30_000))
    assert "duty@example.org" not in call.body
    await database.write(lambda tx: webhooks.taken(tx, call.id))
    await machine.looks()
    assert (await machine.alarm()).confirmed_ms is not None
    assert await unheard(database, SETTINGS) == []


async def test_a_path_that_is_known_to_fail_is_not_the_first(database):
    machine = Machine(database)
    machine.bad, machine.failing = ["host"], frozenset({"email"})
    await machine.looks()
    assert await machine.told() == [("alarm", "sms")]


async def test_without_anybody_to_tell_it_stands_all_the_same(database):
    machine = Machine(database, AlarmSettings())
    machine.bad = ["host"]
    await machine.looks()
    assert (await machine.alarm()).stands
    assert await machine.told() == []


async def test_what_cannot_be_told_any_more_in_this_hour_goes_by_the_next_path(database):
    machine = Machine(database)
    machine.bad = [f"host {n}" for n in range(12)]
    await machine.looks()
    assert (await machine.told()).count(("alarm", "email")) == 10
    await machine.minutes_pass()
    await machine.looks()
    assert (await machine.told()).count(("alarm", "sms")) == 10
    await machine.minutes_pass()
    await machine.looks()
    assert len(await calls(database)) == 12


async def test_the_administrators_of_a_zone_whose_balance_is_low_are_told_in_their_language(database):
    zone_id = await make.a_zone(database)
    own, other = await make.an_account(database), await make.an_account(database)

    async def enrol(tx):
        for id_, language in ((own, "fr"), (other, "de")):
            values = {"type": "administrator", "email": f"{language}@example.org", "language": language}
            await tx.run(sa.update(account).where(account.c.id == id_).values(values))
        await tx.run(sa.insert(account_right).values(account_id=own, zone_id=zone_id, action="read"))

    await database.write(enrol)
    machine = Machine(database)
    machine.low = (ZoneBalance(zone_id, "5301", 12_500),)
    observed = (Observation(AlarmKind.BALANCE_LOW, "5301", bad=True, value=euros(12_500)),)

    async def look():
        return MachineFacts(observed, frozenset(), frozenset(), machine.low)

    machine.desk.look = look
    await machine.looks()
    await machine.looks()
    async with database.read() as conn:
        found = [one for one in await notices.page(conn, before=None, most=5) if one.subject == "low-balance"]
        [only] = found
        [told] = await notices.states(conn, only.campaign_id)
        [text] = (await notices.words(conn, only.campaign_id)).texts
    assert told.address == "fr@example.org"
    assert "12,50 EUR" in text.content


# ---- what is looked at ---------------------------------------------------------------------------------------------


def a_finder(database, **settings):
    return FactFinder(database, Settings(**settings), "host", WaitTimes())


async def lives(database, *carriers):
    await database.write(lambda tx: seen(tx, "boot", "host, process 1", carriers))


async def found(finder):
    facts = await finder.look()
    return {(one.kind, one.about): one for one in facts.observed if one.bad}, facts


async def test_of_a_machine_that_is_well_nothing_is_bad(database):
    await lives(
        database, CarrierView("relay", "email", "live", "up", ""), CarrierView("first", "sms", "live", "up", "")
    )
    bad, facts = await found(a_finder(database))
    assert bad == {}
    assert facts.failing == frozenset()


async def test_carriers_that_are_down_or_refuse_everybody_are_bad_and_their_channel_is_no_path(database):
    await lives(
        database,
        CarrierView("relay", "email", "live", "down", "connection refused"),
        CarrierView("first", "sms", "live", "up", "", "ESME_RINVPASWD"),
        CarrierView("second", "sms", "live", "up", ""),
        CarrierView("simulated-sms", "sms", "simulation", "down", ""),
    )
    bad, facts = await found(a_finder(database))
    assert set(bad) == {(AlarmKind.CARRIER_DOWN, "email relay"), (AlarmKind.CARRIER_REFUSES, "sms first")}
    assert facts.failing == {"email"}


async def test_what_is_held_is_no_path_and_not_old(database):
    await lives(database, FIRST)
    await make.a_campaign(database, 1, starts_in_ms=-3_600_000)
    await database.write(lambda tx: holds.place(tx, "channel", "sms", "", "op"))
    bad, facts = await found(a_finder(database))
    assert bad == {}
    assert "sms" in facts.failing


async def test_a_queue_that_does_not_move_is_old_and_one_that_moves_is_not(database):
    await lives(
        database, CarrierView("first", "sms", "live", "up", ""), CarrierView("relay", "email", "live", "up", "")
    )
    await make.a_campaign(database, 2, priority=2, batch_size=1, starts_in_ms=-3_600_000)
    bad, facts = await found(a_finder(database))
    assert set(bad) == {(AlarmKind.QUEUE_OLD, "sms")}
    assert facts.failing == {"sms"}
    await make.sent(database)
    bad, _ = await found(a_finder(database))
    assert bad == {}
    await make.a_campaign(database, 1, starts_in_ms=-3_600_000)
    bad, _ = await found(a_finder(database))
    assert set(bad) == {(AlarmKind.QUEUE_OLD, "sms")}, "an alert of which nothing leaves is not comforted by news"


async def test_disk_backup_money_and_quarantine(database):
    zone_id = await make.a_zone(database)

    async def work(tx):
        await ledger.add_lot(tx, zone_id, 40_000, None, "order")
        await audit.note(tx, "delivery-quarantined", "123")
        await copies.note(tx, Copied("/b/store.db", tx.now_ms - 72 * 3_600_000, 5, {}))

    await database.write(work)
    huge = StoreSettings(min_free_mib=10**9)
    bad, facts = await found(a_finder(database, store=huge, backup=BackupSettings(folder="/b")))
    kinds = {kind for kind, _ in bad}
    assert {AlarmKind.BALANCE_LOW, AlarmKind.QUARANTINE} <= kinds
    assert [zone.balance_millieuro for zone in facts.low] == [40_000]
    on_file = database.path is not None
    assert (AlarmKind.DISK_LOW in kinds) == (AlarmKind.BACKUP_OLD in kinds) == on_file
    assert ({"email", "sms"} <= facts.failing) == on_file, "where nothing is claimed no notice leaves"


async def test_a_loop_that_was_late_since_the_last_look_is_bad(database):
    times = WaitTimes()
    finder = FactFinder(database, Settings(), "host", times)
    times.note(0.5)
    assert (await found(finder))[0] == {}
    times.note(1.5)
    assert set((await found(finder))[0]) == {(AlarmKind.LOOP_LATE, "host")}
    assert (await found(finder))[0] == {}


async def test_rows_of_alarms_hold_no_address(database):
    machine = Machine(database)
    machine.bad = ["host"]
    await machine.looks()
    async with database.read() as conn:
        [row] = await rows.standing(conn)
        kinds = (await conn.execute(sa.select(campaign.c.kind, campaign.c.targets))).all()
    assert "example.org" not in str(dict(row))
    assert [tuple(one) for one in kinds] == [("alarm", "{}")]
