"""A gateway that dies at a chosen instant: nothing acknowledged is lost, nothing is done twice, and its client may
simply ask again. The points are functions of the product that `dying_server` wraps; the product knows nothing of
them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import InHand, judged
from tests.acceptance.crash_stage import NETWORK, OTHER_NETWORK, Answer, Pace, Site, died, message, site, until
from tests.acceptance.world import Server

pytestmark = pytest.mark.slow

URGENT, CALM = True, False
FIRST = (None, 202)
"""The client had no answer, and nothing was kept: asking again is asking for the first time."""
KEPT = (None, 200)
EITHER = (202, 200)
"""The answer came before the crash, or was on its way: the same resource is answered again."""


@dataclass(frozen=True, slots=True)
class Case:
    point: str
    nth: int
    urgent: bool
    answers: tuple[int | None, int]
    channels: str = "sms"
    networks: tuple[str, ...] = (NETWORK,)


@dataclass(slots=True)
class Town:
    """What has happened so far on one site."""

    here: Site
    kills: list[InHand] = field(default_factory=list)
    sent: list[tuple[str, bool]] = field(default_factory=list)
    """(marker, urgent), in the order of the campaigns."""

    async def died(self, server: Server) -> None:
        await died(server)
        self.kills.append(await account.in_hand(self.here.store_url))

    async def ask(self, server: Server, case: Case, document: bytes, marker: str) -> Answer | None:
        if case.urgent:
            return await self.here.alert(server, document)
        return await self.here.message(server, message(marker, channels=case.channels.split(), networks=case.networks))

    async def crash(self, case: Case) -> Server:
        """Launch on a gateway that dies at the point, and again on the next one, which is returned."""
        marker = f"{'ALARM' if case.urgent else 'NIEUWS'}-{len(self.sent):03}"
        self.sent.append((marker, case.urgent))
        document = self.here.alarm(marker, case.channels, case.networks)
        doomed = await self.here.start("--point", case.point, "--nth", str(case.nth))
        first = await self.ask(doomed, case, document, marker)
        await self.died(doomed)
        server = await self.here.start()
        again = await self.ask(server, case, document, marker)
        assert again is not None
        if first is None:
            assert again.status in ((202,) if case.answers is FIRST else (200,)), (case, again)
        else:
            assert (first.status, again.status) == case.answers, (case, first, again)
            assert first.location == again.location
        return server

    async def all(self, cases: Sequence[Case]) -> Server:
        """One after the other, each on a quiet town; the last gateway is returned."""
        for case, following in zip(cases, (*cases[1:], None), strict=True):
            server = await self.crash(case)
            if following:
                await self.here.until_all_is_said(server)
                await server.end()
        return server

    async def judge(self, server: Server) -> None:
        await self.here.until_all_is_said(server)
        await self.here.end(server)
        titles = await account.rows(self.here.store_url, "SELECT title FROM campaign ORDER BY id")
        assert [title for (title,) in titles] == [marker for marker, _ in self.sent], "one campaign a decision"
        for campaign, (marker, urgent) in enumerate(self.sent, start=1):
            verdict = await judged(self.here, campaign, marker, self.kills, resends=urgent)
            print(f"{marker}: {verdict}")
        print(f"in hand at each: {[len(kill) for kill in self.kills]}")
        await account.assert_no_receipt_is_lost(self.here.store_url, self.here.world)


PACE = Pace(sms_per_s=400, mail_per_s=400, answer_s=0.02, receipt_s=0.15)

LAUNCHING = [
    Case("launch-between-the-rows", 1, URGENT, FIRST),
    Case("launch-before-the-answer", 1, URGENT, KEPT),
    Case("message-not-committed", 1, CALM, FIRST),
    Case("expansion-in-a-chunk", 1, URGENT, EITHER),
    Case("expansion-in-a-chunk", 2, CALM, EITHER, "sms email"),
    Case("expansion-between-chunks", 1, CALM, EITHER, "sms", (NETWORK, OTHER_NETWORK)),
]


@pytest.mark.timeout(120)
async def test_a_launch_is_whole_or_has_not_been_and_asking_again_is_safe(tmp_path: Path) -> None:
    async with site(tmp_path, people=60, more=2000, pace=Pace(sms_per_s=1000, answer_s=0.02, receipt_s=0.1)) as here:
        town = Town(here)
        await town.judge(await town.all(LAUNCHING))


SENDING = [
    Case("cursor-committed", 2, CALM, EITHER, "sms email"),
    Case("cursor-committed", 2, URGENT, EITHER),
    Case("before-a-settle", 3, CALM, EITHER, "sms email"),
    Case("before-a-settle", 2, URGENT, EITHER),
    Case("settle-not-committed", 3, CALM, EITHER, "email"),
    Case("receipts-not-committed", 2, URGENT, EITHER),
    Case("receipts-not-acknowledged", 2, CALM, EITHER),
]


@pytest.mark.timeout(150)
async def test_between_the_cursor_and_the_receipt_there_is_no_instant_that_loses_anything(tmp_path: Path) -> None:
    async with site(tmp_path, people=250, pace=PACE) as here:
        town = Town(here)
        await town.judge(await town.all(SENDING))


@pytest.mark.timeout(120)
async def test_a_crash_during_the_recovery_from_a_crash_changes_nothing(tmp_path: Path) -> None:
    # So slow that there is always more to send when the second gateway of a campaign is killed.
    async with site(tmp_path, people=250, pace=Pace(sms_per_s=60, answer_s=0.02, receipt_s=0.15)) as here:
        town = Town(here)
        for urgent in (CALM, URGENT):
            server = await town.crash(Case("before-a-settle", 2, urgent, EITHER))
            # What was in hand at the crash has been taken up before the door was opened: another kill leaves more.
            await account.something_leaves(here)
            await server.kill()
            town.kills.append(await account.in_hand(here.store_url))
            assert town.kills[-1], "nothing is left to recover from"
            for _ in range(2):
                await town.died(await here.start("--point", "in-recovery", wait=False))
            server = await here.start()
            if urgent is CALM:
                await here.until_all_is_said(server)
                await server.end()
        await town.judge(server)


@pytest.mark.timeout(150)
async def test_a_crash_where_handing_over_ends_loses_and_doubles_nobody(tmp_path: Path) -> None:
    """A turn is over before the batch is: it is split, and its gateway dies in that."""
    async with site(tmp_path, people=120, pace=Pace(sms_per_s=20, answer_s=0.02, receipt_s=0.15)) as here:
        town = Town(here)
        await town.judge(await town.all([Case("in-a-split", 1, URGENT, EITHER), Case("in-a-split", 1, CALM, EITHER)]))


@pytest.mark.timeout(150)
async def test_a_crash_before_what_is_in_doubt_is_sent_again_changes_nothing(tmp_path: Path) -> None:
    async with site(tmp_path, people=250, pace=PACE) as here:
        town = Town(here)
        server = await town.crash(Case("before-a-settle", 2, URGENT, EITHER))
        await server.kill()
        town.kills.append(await account.in_hand(here.store_url))
        for _ in range(2):
            await town.died(await here.start("--point", "inbox-heard", wait=False))
        await town.judge(await here.start())


@pytest.mark.timeout(120)
async def test_a_report_is_sealed_once_and_its_money_settled_once(tmp_path: Path) -> None:
    async with site(tmp_path, people=40, pace=PACE) as here:
        town = Town(here)
        for point in ("seal-not-committed", "sealed"):
            server = await town.crash(Case(point, 1, CALM, EITHER, "sms"))
            await _until_sealed(here, len(town.sent))
            if point != "sealed":
                await server.end()
        await town.judge(server)
        entries = "SELECT b.campaign_id, b.what, COUNT(*), SUM(e.amount_millieuro) FROM booking b JOIN entry e"
        moved = f"{entries} ON e.booking_id = b.id WHERE b.campaign_id > 0 AND e.amount_millieuro > 0"
        booked = await account.rows(here.store_url, f"{moved} GROUP BY 1, 2 ORDER BY 1, 2")
        price = 40 * 55  # BE-Alert price list: 55 millieuro an SMS
        for campaign in (1, 2):
            mine = [(what, n, amount) for c, what, n, amount in booked if c == campaign]
            assert mine == [("reserve", 1, price), ("settle", 1, price)]


async def _until_sealed(here: Site, campaigns: int) -> None:
    async def sealed() -> bool:
        ((n,),) = await account.rows(here.store_url, "SELECT COUNT(*) FROM campaign WHERE sealed_ms IS NOT NULL")
        return bool(n == campaigns)

    await until(sealed, 20)
