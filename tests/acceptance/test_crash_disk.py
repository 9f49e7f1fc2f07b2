"""A full disk: what cannot be written is not begun, what is known is kept until there is room, and then all goes on."""

import asyncio
import resource
from pathlib import Path

import pytest

from tests.acceptance import crash_account as account
from tests.acceptance.crash_account import judged, something_leaves
from tests.acceptance.crash_stage import Pace, Site, message, site, until
from tests.acceptance.world import Server

pytestmark = pytest.mark.slow

NEWS, ALARM, LATER = "NIEUWS-A", "ALARM-B", "ALARM-C"
# Answers take longer than it takes to hand everything over: the last ones find the disk full.
PACE = Pace(sms_per_s=80, answer_s=1.0, lease_s=2.0)


def fill(server: Server, store: Path) -> None:
    """No file of this process may grow by more than a page or two: a disk that is full for it alone."""
    limit = max(Path(f"{store}-wal").stat().st_size + 8_192, 65_536)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def empty(server: Server) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.timeout(120)
async def test_a_full_disk_stops_the_sending_and_forgets_nothing_that_is_known(tmp_path: Path) -> None:
    store = tmp_path / "tocsin.db"
    async with site(tmp_path, people=120, pace=PACE) as here:
        server = await here.start()
        news = await here.message(server, message(NEWS, channels=["sms"]))
        alarm = await here.alert(server, here.alarm(ALARM, "sms"))
        assert news is not None
        assert alarm is not None
        assert (news.status, alarm.status) == (202, 202)
        await something_leaves(here)

        fill(server, store)
        later = here.alarm(LATER, "sms")
        await until(lambda: _is_refused(here, server, later), 20)
        await asyncio.sleep(PACE.lease_s + 1)
        empty(server)
        await until(lambda: _is_all_in_hand(here), 30, every_s=0.02)
        fill(server, store)
        await asyncio.sleep(2 * PACE.lease_s + 1)
        empty(server)

        kept = await here.alert(server, later)
        assert kept is not None
        assert kept.status == 202, "nothing of what was refused was kept"
        await here.until_all_is_said(server)
        await here.end(server)
        for campaign, marker in enumerate((NEWS, ALARM, LATER), start=1):
            # Nobody died: nobody may be in doubt or reached twice.
            print(await judged(here, campaign, marker, [], resends=False))
        await account.assert_no_receipt_is_lost(here.store_url, here.world)
        for action in ("advance-failed", "receipts-refused"):
            assert server.logged(action), f"no {action} was told"


async def _is_refused(here: Site, server: Server, document: bytes) -> bool:
    answer = await here.alert(server, document)
    assert answer is not None
    assert answer.status == 503, answer
    return True


async def _is_all_in_hand(here: Site) -> bool:
    """The last cursor has been moved, and its answers are still awaited."""
    ((waiting,),) = await account.rows(here.store_url, "SELECT COUNT(*) FROM delivery WHERE state IN (0, 1)")
    return 0 < waiting <= len(await account.in_hand(here.store_url))
