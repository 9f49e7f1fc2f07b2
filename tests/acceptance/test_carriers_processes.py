"""The processes in which carriers live are killed, stopped and told to end while the server sends: nobody has a message
twice, nobody is told as reached who was not, and an alert reaches everybody in the end."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import something_leaves
from tests.acceptance.crash_stage import ALARM, NEWS, Pace, Site, both_launched, site, until
from tests.acceptance.world import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

PEOPLE = 500
PACE = Pace(sms_per_s=100, mail_per_s=100, answer_s=0.05)
TIMES = 6


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def store_url(request: pytest.FixtureRequest) -> str:
    """Empty: a file in the folder of the test."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("private_url"))


def made_by(server: Server) -> dict[str, int]:
    """Name -> process id of the carriers' processes that live."""
    found = {}
    for children in Path(f"/proc/{server.handle.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
    return found


async def until_made(server: Server) -> None:
    async def made() -> bool:
        return set(made_by(server)) == {"tocsin-sms", "tocsin-email"}

    await until(made, 10)


async def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def tell_to_end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


async def stop_for_a_moment(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(0.7)
    os.kill(pid, signal.SIGCONT)


async def stop_for_good(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


@contextlib.asynccontextmanager
async def town(folder: Path, store_url: str) -> AsyncIterator[Site]:
    async with site(folder, people=PEOPLE, pace=PACE, store_url=store_url) as here:
        yield here


@pytest.mark.parametrize("what", [kill, tell_to_end, stop_for_a_moment, stop_for_good], ids=lambda f: f.__name__)
async def test_whatever_befalls_a_carriers_process_costs_nobody_the_truth(
    tmp_path: Path, store_url: str, what: Callable[[int], object]
) -> None:
    draw = random.Random(19)
    async with town(tmp_path, store_url) as here:
        server = await here.start()
        await until_made(server)
        await both_launched(here, server, "sms email")
        for n in range(TIMES):
            await something_leaves(here)
            await asyncio.sleep(draw.uniform(0.05, 0.5))
            pid = made_by(server).get(["tocsin-sms", "tocsin-email"][n % 2])
            if pid is not None:
                await what(pid)  # type: ignore[misc]
        await here.until_all_is_said(server)
        await here.end(server)

        await judge(here, NEWS, 1, resends=False)
        await judge(here, ALARM, 2, resends=True)
        await account.assert_no_receipt_is_lost(here.store_url, here.world)


POINTS = {
    "tocsin-sms": [
        "handed-over", "begun", "not-begun", "smsc-answered", "not-told", "told", "receipts-not-told",
        "receipts-not-acknowledged",
    ],
    "tocsin-email": ["handed-over", "begun", "not-begun", "relay-answered", "not-told", "told"],
}  # fmt: skip


async def test_there_is_no_instant_at_which_the_death_of_a_carriers_process_costs_anybody_the_truth(
    tmp_path: Path, store_url: str
) -> None:
    """Each life of each process ends at the next point, then the last one goes on."""
    points = tmp_path / "points"
    points.mkdir()
    for name, mine in POINTS.items():
        (points / name).write_text("\n".join(mine))
    async with town(tmp_path, store_url) as here:
        server = await here.start("--children-die", str(points))
        await until_made(server)
        await both_launched(here, server, "sms email")
        await here.until_all_is_said(server)
        ended = [line for line in server.logged("carriers-process-ended")]
        assert [(points / name).read_text() for name in POINTS] == ["", ""], "every point was come by"
        assert len(ended) == sum(map(len, POINTS.values()))
        await here.end(server)

        await judge(here, NEWS, 1, resends=False)
        await judge(here, ALARM, 2, resends=True)
        await account.assert_no_receipt_is_lost(here.store_url, here.world)


async def judge(here: Site, marker: str, campaign: int, *, resends: bool) -> None:
    seen = account.arrivals(here.world, marker)
    states = await account.rows(
        here.store_url,
        f"SELECT channel, address, state, attempts FROM delivery WHERE id >> 24 = {campaign}",
    )
    assert len(states) == 2 * PEOPLE
    doubtful = {(str(c), str(a)) for c, a, state, _ in states if state == 2}
    again = {(str(c), str(a)) for c, a, _, attempts in states if attempts > 1}
    everybody = {(str(c), str(a)) for c, a, _, _ in states}
    missed, twice = everybody - set(seen), {person for person, n in seen.items() if n > 1}
    print(f"{marker}: missed {len(missed)}, in doubt {len(doubtful)}, twice {len(twice)}, tried again {len(again)}")
    assert missed <= doubtful, "who has nothing is in doubt"
    if resends:
        assert not missed, "an alert reaches everybody"
        assert twice <= again, "a second copy is one that was owed"
    else:
        assert not twice, "nobody has news twice"


async def test_with_the_server_its_carriers_processes_are_gone_at_once(tmp_path: Path) -> None:
    async with town(tmp_path, "") as here:
        server = await here.start()
        await until_made(server)
        made = made_by(server)
        await both_launched(here, server, "sms email")
        await something_leaves(here)

        await server.kill()

        async def gone() -> bool:
            return not any(_lives(pid) for pid in made.values())

        await until(gone, 2.0, every_s=0.01)
        seen: list[object] = []

        async def nothing_more_comes() -> bool:
            """What stood in the peers' sockets by then they read in their own time; then a second without news."""
            seen.append({marker: account.arrivals(here.world, marker) for marker in (NEWS, ALARM)})
            return seen[-3:] == [seen[-1]] * 3

        await until(nothing_more_comes, 15.0, every_s=0.5)
        server = await here.start()
        await here.until_all_is_said(server)
        await here.end(server)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_all_in_one_process_is_the_same_product(tmp_path: Path) -> None:
    async with town(tmp_path, "") as here:
        text = here.config.read_text()
        here.config.write_text(text.replace("[server]\n", "[server]\nprocesses = 1\n", 1))
        server = await here.start()
        assert made_by(server) == {}
        await both_launched(here, server, "sms email")
        await here.until_all_is_said(server)
        await here.end(server)

        await judge(here, NEWS, 1, resends=False)
        await judge(here, ALARM, 2, resends=True)
