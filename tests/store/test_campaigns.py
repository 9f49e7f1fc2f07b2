"""Campaigns and alerts as they are read: pages without gaps, sums from the rows, states in words."""

import json
from functools import partial

import pytest

from store import feed
from store.campaigns import alerts
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch, launch
from store.outbox.records import Settlement
from store.outbox.settling import apply
from store.states import DeliveryEvent, DeliveryState
from tests.store import makers as make


async def read(database, function, *args, **options):
    async with database.read() as conn:
        return await function(conn, *args, **options)


@pytest.fixture
async def made(database):
    """Six people on two channels: one of each outcome on the first."""
    made = await make.a_campaign(database, 6, channels=("sms", "email"), units=2, price_millieuro=110)
    a, b, c, d, e, _ = made.ids["sms"]
    happened = [
        *make.accepted([a, b]), *make.happened([b], DeliveryEvent.RECEIPT_DELIVERED),
        Settlement(c, DeliveryEvent.REFUSED, "c1", (), "550", "no such number"),
        Settlement(d, DeliveryEvent.REFUSED, "c2", (), "551"), *make.happened([e], DeliveryEvent.IN_DOUBT),
    ]  # fmt: skip
    await database.write(lambda tx: apply(tx, happened))
    return made


async def test_a_campaign_is_read_by_its_public_id_with_whose_it_is(database, made):
    found = await read(database, campaigns.by_public_id, made.public_id)

    assert found == await read(database, campaigns.by_id, made.id)
    assert (found.zone_id, found.state, found.mode, found.alert_public_id) == (
        made.town.zone_id,
        "running",
        "live",
        None,
    )
    assert found.zone_code.startswith("zone")
    assert found.account_code.startswith("account")
    assert await read(database, campaigns.by_public_id, "nobody") is None


async def test_the_newest_come_first_in_pages_and_only_of_the_zones_asked_for(database, made):
    others = [await make.a_campaign(database, 1) for _ in range(3)]
    zones = [made.town.zone_id, others[1].town.zone_id]

    page = await read(database, campaigns.recent, None, before_id=None, most=2)
    rest = await read(database, campaigns.recent, None, before_id=page[-1].id, most=10)

    assert [c.id for c in page + rest] == [o.id for o in reversed(others)] + [made.id]
    assert [c.id for c in await read(database, campaigns.recent, zones, before_id=None, most=9)] == [
        others[1].id,
        made.id,
    ]
    assert await read(database, campaigns.recent, [], before_id=None, most=9) == []


async def test_the_running_campaigns_come_first_then_the_most_urgent_then_the_newest(database, made):
    over = await make.a_campaign(database, 1, state="stopped")
    scheduled = await make.a_campaign(database, 1, state="scheduled", priority=0)
    news = await make.a_campaign(database, 1, priority=2)
    alert = await make.a_campaign(database, 1, priority=0)
    over_since = await make.a_campaign(database, 1, state="completed", priority=2)

    listed = [c.id for c in await read(database, campaigns.unfinished, most=9)]

    assert listed == [alert.id, made.id, news.id, scheduled.id, over_since.id, over.id]
    assert [c.id for c in await read(database, campaigns.unfinished, most=2)] == listed[:2]


async def test_deliveries_come_in_pages_without_gaps_and_nobody_elses(database, made):
    await make.a_campaign(database, 3)
    pages, after = [], 0
    while page := await read(database, campaigns.deliveries, made.id, after_id=after, most=5):
        pages.append(page)
        after = page[-1].id

    assert [len(p) for p in pages] == [5, 5, 2]
    assert [d.id for p in pages for d in p] == [*made.ids["sms"], *made.ids["email"]]
    first = pages[0][0]
    assert (first.state, first.carrier, first.units, first.address) == (
        "accepted", "c1", 2, made.town.people[0].addresses["sms"],
    )  # fmt: skip


async def test_deliveries_are_filtered_by_state_channel_and_carrier(database, made):
    async def ids(**filters):
        page = await read(database, campaigns.deliveries, made.id, after_id=0, most=100, **filters)
        return [d.id for d in page]

    sms = made.ids["sms"]
    assert await ids(states=[DeliveryState.FAILED]) == [sms[2], sms[3]]
    assert await ids(states=[DeliveryState.FAILED, DeliveryState.UNKNOWN], carrier="c1") == [sms[2], sms[4]]
    assert await ids(states=[DeliveryState.QUEUED], channel="sms") == [sms[5]]
    assert await ids(channel="voice") == []


async def test_the_sums_of_a_report_are_the_rows_with_a_reason_for_each_failure(database, made):
    sums = await read(database, campaigns.sums, made.id)

    found = {(s.channel, s.state, s.code): (s.deliveries, s.units, s.charged_millieuro) for s in sums}
    assert found == {
        ("email", "queued", None): (6, 12, 0),
        ("sms", "queued", None): (1, 2, 0),
        ("sms", "unknown", None): (1, 2, 0),
        ("sms", "accepted", None): (1, 2, 110),
        ("sms", "delivered", None): (1, 2, 110),
        ("sms", "failed", "550"): (1, 2, 0),
        ("sms", "failed", "551"): (1, 2, 0),
    }


async def test_texts_counters_and_the_frozen_audience_are_read_back(database, made):
    texts = await read(database, campaigns.texts, made.id)
    counts = await read(database, campaigns.counts, made.id)

    assert [(t.channel, t.language, t.units, t.price_millieuro) for t in texts] == [
        ("email", "nl", 2, 110), ("sms", "nl", 2, 110),
    ]  # fmt: skip
    assert [(c.channel, c.total, c.open) for c in counts] == [("email", 6, 6), ("sms", 6, 1)]
    assert await read(database, campaigns.audience_blob, made.id) == b"blob"
    assert await read(database, campaigns.audience_blob, 404) is None
    assert json.loads(texts[0].content) == {}


# ---- alerts ----------------------------------------------------------------------------------------------


async def an_alert_of(database, **changes):
    town = await make.a_town(database, 1)
    new = make.an_alert(town.account_id, **changes)
    await make.a_campaign(database, town, alert=new)
    return await read(database, alerts.by_key, new.sender, new.identifier)


async def test_a_document_is_kept_byte_for_byte(database):
    nasty = bytes(range(256)) * 10

    assert (await an_alert_of(database, document=nasty)).document == nasty


async def test_an_alert_is_found_by_sender_and_identifier_together(database):
    found = await an_alert_of(database)

    assert await read(database, alerts.by_key, found.sender, "other") is None
    assert await read(database, alerts.by_key, "other", found.identifier) is None
    assert await read(database, alerts.by_public_id, found.public_id) == found


FOR_EVER = 2**62


async def test_a_parked_alert_is_due_once_an_alert_that_it_names_has_come(database):
    """Not one that waits itself."""
    account = await make.an_account(database)
    waiting = [
        make.an_alert(account, state="parked", references=(("a", "b", 1), ("a", "c", 1)), identifier="waits"),
        make.an_alert(account, state="parked", sender="a", identifier="b"),
    ]
    for new in waiting:
        await database.write(partial(launch, decision=Launch(account_id=account, alert=new, campaigns=())))
    assert await read(database, alerts.parked, 0) == []

    come = make.an_alert(account, sender="a", identifier="c")
    await database.write(partial(launch, decision=Launch(account_id=account, alert=come, campaigns=())))

    assert [a.identifier for a in await read(database, alerts.parked, 0)] == ["waits"]


async def test_a_parked_alert_waits_and_can_be_taken_out_and_filed_again(database):
    active = await an_alert_of(database, references=(("a", "b", 1),))
    new = make.an_alert(await make.an_account(database), state="parked", references=(("a", "b", 1),))
    decision = Launch(account_id=new.account_id, alert=new, campaigns=())
    parked = (await database.write(lambda tx: launch(tx, decision))).alert_id
    assert await read(database, alerts.parked, 0) == [], "what it names has not come"
    assert [a.id for a in await read(database, alerts.parked, FOR_EVER)] == [parked]

    assert await database.write(lambda tx: alerts.remove_parked(tx, active.id)) is False
    assert await database.write(lambda tx: alerts.remove_parked(tx, parked)) is True
    assert await database.write(lambda tx: alerts.remove_parked(tx, parked)) is False

    assert await read(database, alerts.parked, FOR_EVER) == []
    assert (await database.write(lambda tx: launch(tx, decision))).alert_id is not None


async def test_the_state_of_an_alert_says_why(database):
    found = await an_alert_of(database)

    await database.write(lambda tx: alerts.set_state(tx, found.id, "failed", "no such reference"))

    found = await read(database, alerts.by_public_id, found.public_id)
    assert (found.state, found.note) == ("failed", "no such reference")


async def test_what_was_never_published_is_nobodys_to_read(database):
    private = await an_alert_of(database)

    assert await read(database, feed.published, private.public_id) is None
    assert await read(database, feed.pending) == []
