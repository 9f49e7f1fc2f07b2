"""What the platform tells: rows in the caller's transaction, sent by an ordinary lane, bounded, found by no zone."""

import asyncio

import pytest
import sqlalchemy as sa

from channels.contract import Channel, Mode
from channels.email.letter_form import PreparedMail
from gateway.dispatch.contents import Contents, content_maker, notice_maker
from gateway.notices.notice import Notice, NoticeAddress, NoticeSubject
from gateway.notices.telling import LIMITS, masked, tell, tell_what_was_held_back
from gateway.notices.texts import NoticeUnwritable
from gateway.settings import EmailSettings
from store import meta, retention
from store.campaigns import addenda, campaign_steps, reading
from store.notices import closing
from store.notices import reading as notices
from store.outbox import hold_statements, recovery
from store.outbox.overview import overview
from store.register import unsubscribing
from store.states import DeliveryEvent
from store.tables import campaign, campaign_text, notice_quota, opt_out
from store.tables import notice as notice_table
from tests.gateway.dispatch import lanes
from tests.store import makers as make

LINK = "https://alerts.example.be/reset#0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
ANNA = NoticeAddress(Channel.EMAIL, "anna@example.org", "nl")
BERT = NoticeAddress(Channel.SMS, "+32470000001", "fr")


def a_notice(*to, subject=NoticeSubject.RESET, **changes):
    facts = {
        NoticeSubject.RESET: {"link": LINK, "until": "28/11/2026 14:00"},
        NoticeSubject.SECURITY: {"what": "Iets.", "when": "28/11/2026 14:00"},
        NoticeSubject.APPROVAL: {"what": "Brand", "by": "Jan", "link": LINK, "until": "28/11/2026 14:00"},
    }[subject]
    return Notice(**{"subject": subject, "to": to or (ANNA,), "facts": facts} | changes)


async def told(database, *to, **changes):
    return await database.write(lambda tx: tell(tx, a_notice(*to, **changes)))


async def states(database, campaign_id):
    async with database.read() as conn:
        return [(d.address, d.state) for d in await notices.states(conn, campaign_id)]


def a_lane(database, carrier):
    email = EmailSettings()
    lane = lanes.a_lane(database, carrier)
    make_message = content_maker(email, "https://alerts.example.be", b"k" * 16)
    lane.prepare = Contents(database, make_message, notice_maker(email, b"k" * 16))
    return lane


# ---- sent --------------------------------------------------------------------------------------------------------


async def test_an_ordinary_lane_sends_what_was_told_and_its_state_can_be_read(database):
    carrier = lanes.Carrier(channel=Channel.EMAIL)
    campaign_id = await told(database)
    assert await states(database, campaign_id) == [("anna@example.org", "queued")]

    async with lanes.running(a_lane(database, carrier)):
        await lanes.until(lambda: carrier.handed)

    [(_, message)] = carrier.handed
    assert isinstance(message.content, PreparedMail)
    letter = message.content.fill(
        address=message.address, name="", reference=message.reference, message_id="x@y", eight_bit=True
    ).decode()
    assert LINK in letter
    assert "List-Unsubscribe" not in letter
    assert "List-Id" not in letter
    assert '"Tocsin"\r\n <no-reply@alerts.example>' in letter
    assert await states(database, campaign_id) == [("anna@example.org", "accepted")]


async def test_each_is_told_in_their_language_on_their_channel(database):
    campaign_id = await told(database, ANNA, BERT, NoticeAddress(Channel.SMS, "+32470000002", "lb-LU"))
    async with database.read() as conn:
        rows = await conn.execute(sa.select(campaign_text.c.channel, campaign_text.c.language, campaign_text.c.units))
    assert sorted(tuple(r)[:2] for r in rows) == [("email", "nl"), ("sms", "en"), ("sms", "fr")]
    assert {s for _, s in await states(database, campaign_id)} == {"queued"}


async def test_a_kill_between_telling_and_sending_loses_nothing_and_one_in_hand_is_sent_again(database):
    await told(database, BERT)
    held = await make.must_claim(database)
    await make.advance(database, held)
    await database.write(recovery.end_all_leases)
    await database.write(recovery.recover)

    again = await make.must_claim(database)
    assert [row.address for row in again.rows] == ["+32470000001"]


async def test_what_the_callers_transaction_does_not_keep_is_not_told(database):
    async def fails(tx):
        await tell(tx, a_notice())
        raise RuntimeError("the caller's own fault")

    with pytest.raises(RuntimeError):
        await database.write(fails)
    async with database.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(campaign))).scalar() == 0
        assert (await conn.execute(sa.select(sa.func.count()).select_from(notice_table))).scalar() == 0


async def test_an_alert_goes_before_a_notice_and_only_an_urgent_approval_goes_with_it(database):
    await told(database, BERT)
    await told(database, BERT, subject=NoticeSubject.SECURITY, urgent=True)
    await make.a_campaign(database, 1)
    urgent = await told(database, BERT, subject=NoticeSubject.APPROVAL, urgent=True)

    found = [await make.sent(database) for _ in range(4)]
    assert [held.priority for held in found] == [0, 0, 1, 1]
    assert urgent in {held.campaign_id for held in found[:2]}


async def test_a_simulated_subject_is_told_by_simulated_carriers(database):
    await told(database, BERT, mode=Mode.SIMULATION)
    assert await make.claim(database) is None
    assert await make.claim(database, mode="simulation") is not None


# ---- once, and not too often -------------------------------------------------------------------------------------


async def test_what_is_told_under_a_key_is_told_once(database):
    first = await told(database, dedupe="reset-7")
    assert await told(database, dedupe="reset-7") == first
    assert await told(database, dedupe="reset-8") not in (first, None)
    assert await told(database, dedupe="reset-7", subject=NoticeSubject.SECURITY) not in (first, None)
    assert await told(database) not in (first, None)


async def test_an_address_is_told_ten_times_an_hour_and_the_next_says_how_many_were_not_told(database):
    made = [await told(database, subject=NoticeSubject.SECURITY) for _ in range(LIMITS.per_hour + 3)]
    assert made[LIMITS.per_hour :] == [None, None, None]
    assert None not in made[: LIMITS.per_hour]
    assert await told(database) is not None, "another subject"
    other = NoticeAddress(Channel.EMAIL, "carla@example.org", "nl")
    partly = await told(database, ANNA, other, subject=NoticeSubject.SECURITY)
    assert await states(database, partly) == [("carla@example.org", "queued")]

    await database.write(lambda tx: tx.run(sa.update(notice_quota).values(hour_ms=tx.now_ms - 3_600_000)))
    after = await told(database, subject=NoticeSubject.SECURITY)
    async with database.read() as conn:
        [text] = (await notices.words(conn, after)).texts
    assert text.language == "nl-x-4"
    assert "Er waren nog 4 zulke berichten" in text.content


async def test_what_was_held_back_is_told_as_a_number_when_nothing_new_comes(database):
    for _ in range(LIMITS.per_hour + 5):
        await told(database, subject=NoticeSubject.SECURITY)
        await told(database)
    assert not await database.write(tell_what_was_held_back), "not before they may be told again"
    await database.write(lambda tx: tx.run(sa.update(notice_quota).values(hour_ms=tx.now_ms - 3_600_000)))

    assert await database.write(tell_what_was_held_back)
    assert not await database.write(tell_what_was_held_back)
    async with database.read() as conn:
        [last, *_] = await notices.page(conn, before=None, most=10)
        [text] = (await notices.words(conn, last.campaign_id)).texts
    assert (last.subject, last.recipients) == ("security", 1)
    assert "nog 5 niet verstuurd" in text.content, "a newer link takes the place of older ones, and is not counted"


async def test_thirty_a_day(database):
    for _ in range(3):
        for _ in range(LIMITS.per_hour):
            assert await told(database) is not None
        await database.write(lambda tx: tx.run(sa.update(notice_quota).values(hour_ms=tx.now_ms - 3_600_000)))
    assert await told(database) is None
    await database.write(lambda tx: tx.run(sa.update(notice_quota).values(day_ms=tx.now_ms - 86_400_000)))
    assert await told(database) is not None


@pytest.mark.parametrize(
    "facts", [{"link": LINK}, {"link": "javascript:alert(1)", "until": "x"}, {"link": LINK + "é", "until": ""}]
)
async def test_facts_that_are_not_those_of_the_subject_are_a_fault_and_nothing_is_kept(database, facts):
    with pytest.raises(NoticeUnwritable):
        await told(database, facts=facts)
    async with database.read() as conn:
        assert await notices.page(conn, before=None, most=10) == []


# ---- of no zone --------------------------------------------------------------------------------------------------


async def test_no_zone_finds_it_counts_it_pays_it_or_reports_it(database):
    campaign_id = await told(database, ANNA, BERT)
    await make.sent(database)
    await make.sent(database, "email")
    await make.tick(database)
    now_ms = await make.now_ms(database)
    far_ms = now_ms + 100 * 86_400_000
    async with database.read() as conn:
        assert await reading.by_id(conn, campaign_id) is None
        assert await reading.recent(conn, None, before_id=None, most=10) == []
        assert await reading.unfinished(conn, most=10) == []
        view = await overview(conn, now_ms)
        assert (view.campaigns_running, view.campaigns_unsealed) == (0, 0)
        assert [c for c in view.channels if c.accepted or c.queued] == []
        assert await campaign_steps.sealable(conn, far_ms) == []
        row = (await conn.execute(sa.select(campaign).where(campaign.c.id == campaign_id))).one()
    assert (row.zone_id, row.account_id, row.thread_id, row.reserved_millieuro) == (None, None, None, 0)
    assert row.title == "reset", "what a list or a log may show of it"


async def test_its_words_go_when_it_is_sealed_and_no_report_or_addendum_is_drawn_of_it(database):
    campaign_id = await told(database, BERT)
    held = await make.sent(database)
    assert not await database.write(closing.close_some)
    await make.settle(database, held, make.happened(make.ids_of(held), DeliveryEvent.RECEIPT_DELIVERED))
    await make.tick(database)
    await database.write(closing.close_some)

    async with database.read() as conn:
        assert await notices.words(conn, campaign_id) is None
        assert (await conn.execute(sa.select(campaign_text.c.content))).all() == []
        [seen] = await notices.page(conn, before=None, most=10)
        row = (await conn.execute(sa.select(campaign))).one()
        assert await addenda.due(conn, row.sealed_ms + 1) == []
    assert seen.wiped_ms is not None
    assert row.sealed_ms is not None
    assert row.report is None
    assert await states(database, campaign_id) == [("+32470000001", "delivered")]
    clearing = retention.RetentionPeriods(35, 35, 365)
    await database.write(lambda tx: tx.run(sa.update(campaign).values(sealed_ms=1)))
    await database.write(lambda tx: retention.clear_some(tx, clearing))
    assert await states(database, campaign_id) == []


async def test_its_words_are_gone_after_a_week_whatever_became_of_it(database):
    campaign_id = await told(database, BERT)
    await database.write(lambda tx: tx.run(sa.update(notice_table).values(made_ms=tx.now_ms - closing.WEEK_MS)))
    await database.write(closing.close_some)
    async with database.read() as conn:
        assert await notices.words(conn, campaign_id) is None
    await database.write(lambda tx: tx.run(sa.update(campaign).values(expires_ms=tx.now_ms - 1)))
    for _ in range(2):
        await make.tick(database)
        await database.write(campaign_steps.close_ended)
    await database.write(closing.close_some)
    async with database.read() as conn:
        assert (await conn.execute(sa.select(campaign.c.sealed_ms))).scalar() is not None
    assert await states(database, campaign_id) == [("+32470000001", "expired")]


async def test_nobody_unsubscribes_from_it_even_with_an_address_that_a_register_has(database):
    town = await make.a_town(database, 1)
    address = town.people[0].addresses["email"]
    campaign_id = await told(database, NoticeAddress(Channel.EMAIL, address, "nl"))
    assert not await database.write(lambda tx: unsubscribing.unsubscribe(tx, campaign_id << 24, ("news",)))
    async with database.read() as conn:
        assert (await conn.execute(sa.select(opt_out))).all() == []


async def test_a_restored_copy_tells_nothing_again_and_leaves_nothing_to_decide(database):
    campaign_id = await told(database, BERT)
    await database.write(meta.renew_generation)
    assert await make.claim(database) is None
    await make.tick(database)
    await database.write(campaign_steps.close_ended)
    assert await states(database, campaign_id) == [("+32470000001", "unknown")]
    async with database.read() as conn:
        assert (await overview(conn, 0)).holds == 0


async def test_one_that_stops_whoever_sends_it_is_taken_out_like_any_other(database):
    campaign_id = await told(database, BERT)
    for _ in range(8):
        held = await make.claim(database, lease_ms=0, resending=make.AT_ONCE)
        if held is None:
            break
        await make.advance(database, held, lease_ms=0)
        await database.write(recovery.end_all_leases)
        await database.write(recovery.recover)
    assert (await states(database, campaign_id))[0][1] in ("failed", "unknown")


def test_an_operator_sees_an_address_masked():
    assert masked("anna@example.org") == "a…@example.org"
    assert masked("+32470123456") == "+324…56"


async def test_two_who_tell_the_same_at_once_tell_it_once(database):
    found = await asyncio.gather(*(told(database, BERT, dedupe="same") for _ in range(5)))
    assert len(set(found)) == 1
    async with database.read() as conn:
        assert len(await notices.page(conn, before=None, most=10)) == 1


async def test_no_hold_is_placed_on_a_notice_by_its_name(database):
    campaign_id = await told(database)
    async with database.read() as conn:
        [one] = await notices.page(conn, before=None, most=1)
    assert one.campaign_id == campaign_id
    assert await database.write(lambda tx: tx.follow(hold_statements.subject_of("campaign", one.public_id))) is None
