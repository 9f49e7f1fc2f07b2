"""In doubt is small: after kill -9 nobody is in doubt of whom no byte was written, nor who was answered. What a peer
had not answered yet is, and no more."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.engine.schema import migrate
from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import something_leaves
from tests.acceptance.crash_stage import Pace, message, site
from tests.peers.postgres import PrivatePostgres, controlled_postgres, new_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

PACE = Pace(answer_s=0.05)
KILLS = 5


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with controlled_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
async def store_url(request: pytest.FixtureRequest, postgres: PrivatePostgres) -> str:
    """Empty: a file in the folder of the test."""
    if request.param == "sqlite":
        return ""
    url = await new_database(postgres.url, "doubts")
    await migrate(url)
    return url


async def test_after_each_kill_only_what_the_peers_owed_is_in_doubt_and_nobody_is_told_twice(
    tmp_path: Path, store_url: str
) -> None:
    draw = random.Random(14)
    more = {"write_note": str(tmp_path / "note")} if store_url else None
    async with site(tmp_path, people=1_400, pace=PACE, store_url=store_url, store=more) as here:
        server = await here.start()
        news = await here.message(server, message("NIEUWS", channels=["sms", "email"]))
        assert news is not None
        in_hand: list[int] = []
        doubts: list[int] = []
        for _ in range(KILLS):
            await something_leaves(here)
            await asyncio.sleep(draw.uniform(0.1, 0.6))
            before = await in_doubt(here.store_url)
            await server.kill()
            in_hand.append(len(await account.in_hand(here.store_url)))
            server = await here.start()
            doubts.append(await in_doubt(here.store_url) - before)
        await here.until_all_is_said(server)
        await here.end(server)

        seen = account.arrivals(here.world, "NIEUWS")
        owed = PACE.answer_s * (PACE.sms_per_s + PACE.mail_per_s)
        print(f"granted at each kill: {in_hand}; in doubt after it: {doubts}; owed by the peers: some {owed:.0f}")
        assert sum(in_hand) > 10 * KILLS, "each kill came in the midst"
        # Three times that: where the machine is slow, answers take longer than the peers say.
        assert sum(doubts) < min(3 * owed * KILLS, sum(in_hand) / 2)
        assert max(seen.values()) == 1, "nobody was told twice"
        unknown = await account.rows(here.store_url, "SELECT COUNT(*) FROM delivery WHERE state = 2")
        everyone = await account.rows(here.store_url, "SELECT channel, address FROM delivery")
        missed = {(str(c), str(a)) for c, a in everyone} - set(seen)
        assert len(missed) <= int(unknown[0][0]), "who has nothing is in doubt, or was told"


async def in_doubt(store_url: str) -> int:
    return int((await account.rows(store_url, "SELECT COUNT(*) FROM delivery WHERE state = 2"))[0][0])
