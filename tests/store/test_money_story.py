"""Money whatever the order: lots, launches, stops, seals, addenda and ends at random, the books counted after each."""

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.campaigns import addenda, campaign_steps, launching
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch
from store.errors import CreditExhausted
from store.money import ledger
from store.states import CampaignState
from store.tables import booking, campaign, entry, lot
from tests.store import makers as make
from tests.store.bookkeeping import assert_books_close, at

_AMOUNTS = st.integers(1, 400)
_SHARE = st.floats(0, 1)
_STEPS = st.one_of(
    st.tuples(st.just("lot"), st.integers(1, 1_000), st.one_of(st.none(), st.integers(-5, 60))),
    st.tuples(st.just("launch"), _AMOUNTS, st.booleans()),
    st.tuples(st.just("launch"), _AMOUNTS, st.just(False)),
    st.tuples(st.just("replace"), _SHARE, _AMOUNTS),
    st.tuples(st.just("stop"), _SHARE, st.none()),
    st.tuples(st.just("seal"), _SHARE, _SHARE),
    st.tuples(st.just("addendum"), _SHARE, _SHARE),
    st.tuples(st.just("wait"), st.integers(1, 40), st.none()),
    st.tuples(st.just("expire"), st.none(), st.none()),
)


class Story:
    """A zone without people: its campaigns reserve money and are charged what the story says."""

    def __init__(self, database, town, now_ms):
        self.database, self.town, self.now_ms = database, town, now_ms
        self.running, self.ended, self.sealed = [], [], []

    async def write(self, work):
        return await at(self.database, self.now_ms, work)

    def picked(self, of, share):
        return of[int(share * (len(of) - 1))] if of else None

    async def lot(self, amount, lasts_ms):
        until_ms = None if lasts_ms is None else self.now_ms + lasts_ms
        await self.write(lambda tx: ledger.add_lot(tx, self.town.zone_id, amount, until_ms, "lot"))

    async def launch(self, amount, must_cover, ends=()):
        before = await self.balance()
        new = make.a_new_campaign(
            self.town, self.now_ms, people=0, reserved_millieuro=amount, must_cover=must_cover, replaces=ends
        )
        decision = Launch(
            account_id=self.town.account_id, alert=None, campaigns=(new,), ends=[(i, "superseded") for i in ends]
        )
        try:
            launched = await self.write(lambda tx: launching.launch(tx, decision))
        except CreditExhausted:
            assert must_cover
            assert ends or before < amount
            return
        assert not must_cover or ends or before >= amount
        self.running += launched.campaign_ids
        self.running = [i for i in self.running if i not in ends]
        self.ended += ends

    async def replace(self, share, amount):
        old = self.picked(self.running, share)
        if old is not None:
            await self.launch(amount, must_cover=amount % 2 == 0, ends=(old,))

    async def stop(self, share, _):
        number = self.picked(self.running, share)
        if number is not None:
            assert await self.write(lambda tx: campaign_steps.stop(tx, number, None))
            self.running.remove(number)
            self.ended.append(number)

    async def seal(self, share, charged):
        number = self.picked(self.running + self.ended, share)
        if number is None:
            return
        amount = int(charged * await self.reserved(number))
        over = sa.update(campaign).where(campaign.c.id == number).values(ended_ms=self.now_ms)
        await self.write(lambda tx: tx.run(over.values(state=str(CampaignState.COMPLETED))))
        assert await self.write(lambda tx: campaign_steps.seal(tx, number, "{}", amount))
        self.running, self.ended = ([i for i in of if i != number] for of in (self.running, self.ended))
        self.sealed.append([number, amount, 0])

    async def addendum(self, share, more):
        told = self.picked(self.sealed, share)
        if told is not None:
            number, paid, count = told
            settled = paid + int(more * (await self.reserved(number) - paid))
            await self.write(lambda tx: addenda.add(tx, number, count + 1, "{}", settled))
            told[1:] = settled, count + 1

    async def wait(self, ms, _):
        self.now_ms += ms

    async def expire(self, *_):
        await self.write(ledger.expire_lots)

    async def reserved(self, number):
        async with self.database.read() as conn:
            found = await campaigns.by_id(conn, number)
        assert found is not None
        return found.reserved_millieuro

    async def balance(self, *, in_ms=0):
        async with self.database.read() as conn:
            return await ledger.balance_millieuro(conn, self.town.zone_id, self.now_ms + in_ms)

    # ---- what holds after every step ---------------------------------------------------------------------

    async def check(self):
        await assert_books_close(self.database, self.town.zone_id)
        for in_ms in (0, 20, 10_000):
            free, debt = await self.counted(self.now_ms + in_ms)
            assert await self.balance(in_ms=in_ms) == free - debt
        free, debt = await self.counted(self.now_ms)
        assert not (free and debt), "free money beside a debt"
        for number, paid, _ in self.sealed:
            assert await self.sum_of("spent", number) == paid
            assert await self.sum_of("reserved", number) == 0
        for number in self.running:
            assert await self.sum_of("reserved", number) == await self.reserved(number)

    async def counted(self, at_ms):
        """What is free in lots that are valid, and what was lent: summed up entry by entry."""
        valid = sa.or_(lot.c.valid_until_ms.is_(None), lot.c.valid_until_ms > at_ms)
        mine = sa.select(sa.func.coalesce(sa.func.sum(entry.c.amount_millieuro), 0)).where(
            entry.c.zone_id == self.town.zone_id
        )
        free = mine.join(lot, lot.c.id == entry.c.lot_id).where(entry.c.account == "lot", valid)
        lent = mine.where(entry.c.account == "operator", entry.c.lot_id.is_(None))
        async with self.database.read() as conn:
            return int((await conn.execute(free)).scalar_one()), -int((await conn.execute(lent)).scalar_one())

    async def sum_of(self, account, number):
        total = sa.select(sa.func.coalesce(sa.func.sum(entry.c.amount_millieuro), 0)).where(
            entry.c.campaign_id == number, entry.c.account == account
        )
        async with self.database.read() as conn:
            return int((await conn.execute(total)).scalar_one())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(_STEPS, min_size=4, max_size=14))
async def test_the_books_close_whatever_happens(database, steps):
    town = await make.a_town(database, 1)
    story = Story(database, town, await make.now_ms(database))
    for verb, *arguments in steps:
        await getattr(story, verb)(*arguments)
        await story.check()


async def test_what_a_campaign_was_released_recalled_and_paid_never_exceeds_what_it_reserved(database):
    town = await make.a_town(database, 1)
    story = Story(database, town, await make.now_ms(database))
    await story.lot(500, None)
    await story.launch(300, False)
    await story.stop(0, None)
    await story.seal(0, 0.5)
    await story.addendum(0, 1.0)

    left, lowest = 0, 0
    statement = sa.select(entry.c.amount_millieuro).join(booking).where(entry.c.account == "reserved")
    async with database.read() as conn:
        for (amount,) in (await conn.execute(statement.order_by(entry.c.id))).all():
            left += amount
            lowest = min(left, lowest)
    assert (left, lowest) == (0, 0)
