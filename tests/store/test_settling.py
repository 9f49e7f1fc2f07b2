"""What happened to deliveries: counters that are the rows, money once, references filed, whatever the order."""

import random

import pytest
import sqlalchemy as sa

from store.campaigns import campaign_steps, cancelling
from store.campaigns import reading as campaigns
from store.outbox import inbox, recovery
from store.outbox.fence import Fence
from store.outbox.inbox import ReceiptReport
from store.outbox.records import Settlement
from store.outbox.resending import Resending
from store.outbox.settling import apply
from store.states import FINAL, DeliveryEvent, DeliveryState
from store.tables import carrier_ref
from tests.store import makers as make
from tests.store.invariants import assert_no_one_is_forgotten, assert_sums_close


async def happen(database, settlements, round_=None):
    return await database.write(lambda tx: apply(tx, settlements, round_=round_))


async def counts(database, made):
    async with database.read() as conn:
        return {c.channel: c for c in await campaigns.counts(conn, made.id)}


async def refs(database, delivery_id):
    async with database.read() as conn:
        rows = await conn.execute(
            sa.select(carrier_ref).where(carrier_ref.c.delivery_id == delivery_id).order_by(carrier_ref.c.id)
        )
        return [(r.carrier, r.ref, r.attempt, r.part, r.parts) for r in rows.all()]


async def assert_sound(database, made):
    async with database.read() as conn:
        await assert_sums_close(conn, made.id)
        await assert_no_one_is_forgotten(conn, made.id)


async def test_a_change_says_what_it_was_and_what_it_is_now(database):
    made = await make.a_campaign(database, 2)
    first, second = made.ids["sms"]

    changes = await happen(
        database, [*make.accepted([second]), Settlement(first, DeliveryEvent.DEFERRED, "c1", (), "4xx", "full")]
    )

    assert [(c.delivery_id, c.old, c.new) for c in changes] == [
        (first, DeliveryState.QUEUED, DeliveryState.RETRY),
        (second, DeliveryState.QUEUED, DeliveryState.ACCEPTED),
    ]
    deferred, taken = await make.rows_of(database, made)
    assert (deferred.carrier, deferred.code, deferred.text, deferred.sent_ms) == ("c1", "4xx", "full", None)
    assert taken.sent_ms == taken.changed_ms
    assert taken.sent_ms is not None


async def test_several_events_of_one_delivery_pass_in_their_order(database):
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]

    changes = await happen(database, [
        Settlement(i, DeliveryEvent.ACCEPTED, "c1", ("r",)), Settlement(i, DeliveryEvent.RECEIPT_DELIVERED, "c1"),
        Settlement(i, DeliveryEvent.RECEIPT_FAILED, "c1"),
    ])  # fmt: skip

    assert [(c.old, c.new) for c in changes] == [(DeliveryState.QUEUED, DeliveryState.DELIVERED)]
    await assert_sound(database, made)


async def test_a_delivery_nobody_knows_is_ignored(database):
    made = await make.a_campaign(database, 1)

    assert await happen(database, [Settlement(404, DeliveryEvent.ACCEPTED, "c1", ("r",))]) == []
    assert await happen(database, []) == []
    assert await refs(database, 404) == []
    await assert_sound(database, made)


async def test_the_same_settlements_twice_change_and_charge_nothing_more(database):
    made = await make.a_campaign(database, 6)
    ids = made.ids["sms"]
    settled = [
        *make.accepted(ids[:2], parts=2), *make.happened(ids[2:3], DeliveryEvent.REFUSED),
        *make.happened(ids[3:4], DeliveryEvent.DEFERRED), *make.happened(ids[4:5], DeliveryEvent.IN_DOUBT),
    ]  # fmt: skip
    held = await make.must_claim(database)
    await make.advance(database, held)
    await make.settle(database, held, settled)
    rows, before, filed = await make.rows_of(database, made), await counts(database, made), await refs(database, ids[0])

    await make.settle(database, held, settled)

    again = await make.rows_of(database, made)
    assert again == rows
    after = (await counts(database, made))["sms"]
    assert (after.total, after.charged_millieuro) == (before["sms"].total, 2 * 55)
    assert await refs(database, ids[0]) == filed
    await assert_sound(database, made)


async def test_what_a_carrier_took_is_charged_once_for_ever(database):
    made = await make.a_campaign(database, 4, price_millieuro=70)
    a, b, c, d = made.ids["sms"]

    await happen(database, make.accepted([a]))
    await happen(database, make.happened([a, b], DeliveryEvent.RECEIPT_DELIVERED))
    await happen(database, [*make.happened([a], DeliveryEvent.ACCEPTED), *make.happened([c], DeliveryEvent.IN_DOUBT)])
    await happen(database, make.happened([c], DeliveryEvent.RESEND))
    await happen(database, make.happened([c], DeliveryEvent.ACCEPTED))
    await happen(database, make.happened([c], DeliveryEvent.RECEIPT_FAILED))
    await happen(database, make.happened([d], DeliveryEvent.REFUSED))

    assert (await counts(database, made))["sms"].charged_millieuro == 3 * 70
    assert [row.charged for row in await make.rows_of(database, made)] == [1, 1, 1, 0]
    await assert_sound(database, made)


async def test_counters_of_the_channels_do_not_mix(database):
    made = await make.a_campaign(database, 3, channels=("sms", "email"))

    await happen(database, make.accepted([made.ids["sms"][0], *made.ids["email"][:2]]))

    found = await counts(database, made)
    assert [(found[c].queued, found[c].accepted, found[c].total) for c in ("sms", "email")] == [(2, 1, 3), (1, 2, 3)]


async def test_the_revision_moves_with_every_change_and_only_then(database):
    made = await make.a_campaign(database, 3)
    before = (await counts(database, made))["sms"].revision

    await happen(database, make.accepted(made.ids["sms"]))
    once = (await counts(database, made))["sms"].revision
    await happen(database, make.happened(made.ids["sms"], DeliveryEvent.CANCEL))

    assert once == before + 1
    assert (await counts(database, made))["sms"].revision == once


async def test_the_first_and_the_last_sending_are_kept(database):
    made = await make.a_campaign(database, 3)
    a, b, c = made.ids["sms"]
    await happen(database, make.accepted([a]))
    first = (await counts(database, made))["sms"].first_sent_ms
    await happen(database, make.accepted([b]))
    await happen(database, make.happened([c], DeliveryEvent.REFUSED))

    found = (await counts(database, made))["sms"]
    assert found.first_sent_ms == first
    assert found.last_sent_ms >= first


async def test_long_texts_of_a_peer_are_cut_and_hostile_ones_are_kept_as_they_are(database):
    made = await make.a_campaign(database, 1)
    nasty = "'; DROP TABLE delivery; -- \x01 é 🚨" + "x" * 500

    await happen(database, [Settlement(made.ids["sms"][0], DeliveryEvent.REFUSED, "c1", (), "550", nasty)])

    (row,) = await make.rows_of(database, made)
    assert row.text == nasty[:200]


# ---- references ------------------------------------------------------------------------------------------


async def test_every_part_has_its_reference_under_the_round_in_which_it_was_sent(database):
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]
    held = await make.must_claim(database)
    await make.settle(database, held, [Settlement(i, DeliveryEvent.ACCEPTED, "c1", ("a", "b"))])

    assert await refs(database, i) == [("c1", "a", held.round, 1, 2), ("c1", "b", held.round, 2, 2)]


async def test_of_an_attempt_that_broke_off_the_parts_without_a_reference_count_as_well(database):
    made = await make.a_campaign(database, 1, units=3)
    (i,) = made.ids["sms"]
    held = await make.must_claim(database)

    await make.settle(database, held, [Settlement(i, DeliveryEvent.IN_DOUBT, "c1", ("a",))])

    assert await refs(database, i) == [("c1", "a", held.round, 1, 3)]


async def test_a_late_answer_of_a_worker_thought_dead_is_filed_under_its_own_attempt(database):
    made = await make.a_campaign(database, 1)
    (i,) = made.ids["sms"]
    frozen = await make.must_claim(database, lease_ms=make.LEASE_MS)
    await make.advance(database, frozen, lease_ms=-1)
    await database.write(recovery.recover)
    again = await make.must_claim(database)
    await make.advance(database, again)
    await make.settle(database, again, [Settlement(i, DeliveryEvent.ACCEPTED, "c1", ("second",))])

    await make.settle(database, frozen, [Settlement(i, DeliveryEvent.ACCEPTED, "c1", ("first",))])

    assert await refs(database, i) == [("c1", "second", again.round, 1, 1), ("c1", "first", frozen.round, 1, 1)]
    (row,) = await make.rows_of(database, made)
    assert (row.attempts, row.charged, DeliveryState(row.state)) == (2, 1, DeliveryState.ACCEPTED)


async def test_two_carriers_may_use_the_same_id(database):
    made = await make.a_campaign(database, 2)
    held = await make.must_claim(database)

    await make.settle(
        database,
        held,
        [Settlement(i, DeliveryEvent.ACCEPTED, c, ("1",)) for i, c in zip(made.ids["sms"], "ab", strict=True)],
    )

    assert [(await refs(database, i))[0][0] for i in made.ids["sms"]] == ["a", "b"]


# ---- whatever the order ----------------------------------------------------------------------------------


class Story:
    """Workers, receipts, housekeeping and operators in a random order, on three campaigns at once."""

    def __init__(self, database, seed):
        self.database, self.random = database, random.Random(seed)
        self.held, self.gone, self.answered = [], [], []
        self.resending = Resending(0, 3)

    async def begin(self):
        town = await make.a_town(self.database, 24)
        options = dict(channels=("sms", "email"), batch_size=5, units=2)
        self.campaigns = [
            await make.a_campaign(self.database, town, crash_policy=policy, **options)
            for policy in ("resend", "report", "resend")
        ]

    def answers(self, ids):
        events = [DeliveryEvent.ACCEPTED] * 6 + [
            DeliveryEvent.REFUSED, DeliveryEvent.DEFERRED, DeliveryEvent.NOT_SENT, DeliveryEvent.IN_DOUBT,
            DeliveryEvent.EXHAUSTED,
        ]  # fmt: skip
        for i in ids:
            event = self.random.choice(events)
            carrier = self.random.choice(["c1", "c2"])
            refs = ()
            if event in (DeliveryEvent.ACCEPTED, DeliveryEvent.IN_DOUBT, DeliveryEvent.REFUSED):
                refs = tuple(f"{i % 7}-{self.random.randrange(10**6)}" for _ in range(self.random.choice((1, 2))))
                self.answered += [(carrier, ref, i) for ref in refs]
            yield Settlement(i, event, carrier, refs, "code", "text")

    async def claim(self):
        channel = self.random.choice(["sms", "email"])
        lease_ms = self.random.choice([60_000, 60_000, -1])
        held = await make.claim(self.database, channel, lease_ms=lease_ms, resending=self.resending)
        if held is not None:
            self.held.append((held, 0, []))

    async def advance(self):
        if self.held:
            n = self.random.randrange(len(self.held))
            held, at, open_ids = self.held[n]
            wanted = self.random.randint(1, 4)
            grant = await make.advance(self.database, held, wanted, skip=at)
            if not isinstance(grant, Fence) and grant.slots.messages:
                sent = make.ids_of(held)[at : at + grant.slots.messages]
                self.held[n] = (held, at + len(sent), open_ids + sent)

    async def settle(self):
        if self.held:
            n = self.random.randrange(len(self.held))
            held, at, open_ids = self.held[n]
            now = [i for i in open_ids if self.random.random() < 0.6]
            settlements = list(self.answers(now))
            for _ in range(self.random.choice((1, 1, 2))):
                await make.settle(self.database, held, settlements)
            self.held[n] = (held, at, [i for i in open_ids if i not in now])

    async def give_back(self):
        if self.held:
            held, _, open_ids = self.held.pop(self.random.randrange(len(self.held)))
            await make.give_back(
                self.database, held, list(self.answers(open_ids)), retry_in_ms=-1, resending=self.resending
            )

    async def freeze(self):
        if self.held:
            self.gone.append(self.held.pop(self.random.randrange(len(self.held))))
            await self.database.write(recovery.end_all_leases)

    async def thaw(self):
        if self.gone:
            held, _, open_ids = self.gone.pop()
            await make.settle(self.database, held, list(self.answers(open_ids)))

    async def receive(self):
        reports = []
        for _ in range(self.random.randint(1, 4)):
            state = self.random.choice(["delivered", "failed", "expired", "pending"])
            if self.answered and self.random.random() < 0.8:
                carrier, ref, _ = self.random.choice(self.answered)
                reports.append(ReceiptReport(carrier, ref, state, 1))
            else:
                town = self.campaigns[0].town
                address = self.random.choice(town.people).addresses["sms"]
                reports.append(ReceiptReport("c1", str(self.random.random()), state, 1, destination=address))
        await self.database.write(lambda tx: inbox.record(tx, reports))
        await make.look_again(self.database, settled_ms=-1)

    async def keep_house(self):
        await self.database.write(recovery.recover)
        await make.tick(self.database)
        await self.database.write(cancelling.release_waiting)
        await self.database.write(campaign_steps.close_ended)

    async def stop(self):
        if self.random.random() < 0.1:
            made = self.random.choice(self.campaigns)
            await self.database.write(lambda tx: campaign_steps.stop(tx, made.id, None))

    async def go_on(self):
        step = self.random.choice([
            self.claim, self.claim, self.advance, self.advance, self.advance, self.settle, self.settle,
            self.give_back, self.freeze, self.thaw, self.receive, self.keep_house, self.stop,
        ])  # fmt: skip
        await step()

    async def finish(self):
        """Everything that is left is done by one good worker."""
        for held, _, open_ids in (*self.held, *self.gone):
            await make.settle(self.database, held, make.accepted(open_ids))
        await self.database.write(recovery.end_all_leases)
        for _ in range(400):
            await self.keep_house()
            worked = False
            for channel in ("sms", "email"):
                while (held := await make.claim(self.database, channel, resending=self.resending)) is not None:
                    worked = True
                    grant = await make.advance(self.database, held)
                    if isinstance(grant, Fence) or grant.slots.messages == len(held.rows):
                        fenced = isinstance(grant, Fence)
                        answers = () if fenced else make.accepted(make.ids_of(held))
                        await make.give_back(self.database, held, answers, resending=self.resending)
            async with self.database.read() as conn:
                ended = [(await campaigns.by_id(conn, c.id)).ended_ms is not None for c in self.campaigns]
            if all(ended) and not worked:
                return
        pytest.fail("the story has no end")


@pytest.mark.parametrize("seed", range(4))
async def test_the_sums_close_after_any_sequence_of_events(database, seed, engine):
    story = Story(database, seed)
    await story.begin()
    for n in range(100 if engine == "sqlite" else 70):
        await story.go_on()
        if n % 10 == 0:
            for made in story.campaigns:
                await assert_sound(database, made)

    await story.finish()

    for made in story.campaigns:
        await assert_sound(database, made)
        words = await make.words_of(database, made)
        closed = {s.word for s in FINAL} | {"accepted", "unknown"}
        assert set(words) <= closed, "at the end everyone is accounted for"
