"""Every path is tried at once, and what became of each is told without an address."""

import sqlalchemy as sa

from gateway.notices.alarm_trial import alarm_lines, begin_trial, trial_lines
from gateway.settings import AlarmSettings
from store.audit_line import Actor
from store.notices import alarms, webhooks
from store.states import DeliveryEvent
from store.tables import audit
from tests.store import makers as make

BY = Actor(via="cli", login="ada")
SETTINGS = AlarmSettings(emails=("duty@example.org",), mobiles=("+32470123456",), webhook_url="https://hook.example")


async def test_each_path_is_tried_and_each_says_what_became_of_it(database):
    begun = await begin_trial(database, SETTINGS, BY)
    lines = await trial_lines(database, begun)
    assert [(line.well, line.text) for line in lines] == [
        (False, "email d…@example.org: queued"),
        (False, "sms +324…56: queued"),
        (False, "webhook: not taken yet"),
    ]

    await make.sent(database, "email")
    await make.sent(database, answer=lambda ids: make.happened(ids, DeliveryEvent.REFUSED))
    call = await database.write(lambda tx: webhooks.begin(tx, 30_000))
    await database.write(lambda tx: webhooks.failed(tx, call.id, "HTTP 503", 5_000))
    lines = await trial_lines(database, begun)
    assert [(line.well, line.text) for line in lines] == [
        (True, "email d…@example.org: accepted"),
        (False, "sms +324…56: failed"),
        (False, "webhook: not taken yet (HTTP 503)"),
    ]
    assert "ada" not in call.body
    async with database.read() as conn:
        written = (await conn.execute(sa.select(audit.c.via).where(audit.c.action == "alarm-test"))).all()
    assert [tuple(row) for row in written] == [("cli",)]


async def test_who_tries_too_often_hears_so(database):
    for _ in range(10):
        await begin_trial(database, SETTINGS, BY)
    lines = await trial_lines(database, await begin_trial(database, SETTINGS, BY))
    assert [line.text for line in lines if "too many" in line.text] == [
        "email: too many alarms were told of late; try again in an hour",
        "sms: too many alarms were told of late; try again in an hour",
    ]


async def test_status_tells_what_stands_and_who_knows_of_it(database):
    now_ms = await make.now_ms(database)
    alarm = {
        "key": "disk-low/host", "kind": "disk-low", "about": "host", "state": "standing", "value": "host, 12 MiB",
        "since_ms": now_ms, "raised_ms": now_ms, "seen_ms": now_ms, "path": "sms", "tried": "email sms",
        "told_ms": now_ms, "campaign_id": None, "call_id": None, "confirmed_ms": None,
    }  # fmt: skip

    async def keep(tx, **changes):
        await alarms.keep(tx, alarm | changes)
        await webhooks.note_outside(tx, "ping", ok=False, detail="held back: disk")

    async def said(settings=SETTINGS):
        return [(line.well, line.text) for line in await alarm_lines(database, settings, now_ms)]

    assert await said(AlarmSettings()) == [
        (True, "alarms: nobody is told ([alarms]); 'tocsin alarm test' tries the paths")
    ]
    assert await said() == []
    await database.write(lambda tx: keep(tx))
    text = "ALARM since 0 s: The disk is nearly full: host, 12 MiB."
    assert (await said())[0] == (False, f"{text} (NOT HEARD yet, tried by email, sms)")
    assert (await said())[1] == (False, "ping: never taken; held back: disk")
    assert (await said(AlarmSettings()))[0] == (False, f"{text} (nobody is told: [alarms] names nobody)")
    await database.write(lambda tx: keep(tx, confirmed_ms=now_ms))
    assert (await said())[0] == (False, f"{text} (told by sms)")
    await database.write(lambda tx: keep(tx, state="rising"))
    assert [line for line in await said() if "ALARM" in line[1]] == []
