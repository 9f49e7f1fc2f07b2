"""What one request may ask for: counted before anything is reckoned, and told by name and value."""

import asyncio

import pytest

from channels.contract import Channel
from gateway.campaigns.admission import Shared, Turns
from gateway.campaigns.answers import MessageRequest, MessageText
from gateway.campaigns.limits import require_countable, require_modest
from gateway.directory.targets import CircleTarget, GeocodeTarget, PolygonTarget, Targets
from gateway.errors import Refusal
from gateway.kinds import Kind
from gateway.settings import LimitSettings
from tests.gateway.campaigns.test_threads import Centre, document

LIMITS = LimitSettings(polygons=2, points=9, circles=2, geocodes=2, networks=2, languages=1, sms_characters=160)
RING = ((50.0, 4.0), (50.0, 5.0), (51.0, 5.0), (50.0, 4.0))
CIRCLE, CODE = CircleTarget("a", 50.0, 4.0, 1.0), GeocodeTarget("a", "REFNIS", "57027")


@pytest.mark.parametrize(
    ("targets", "limit"),
    [
        (Targets(polygons=(PolygonTarget("a", RING),) * 3), "limits.polygons"),
        (Targets(polygons=(PolygonTarget("a", RING * 3),)), "limits.points"),
        (Targets(circles=(CIRCLE,) * 3), "limits.circles"),
        (Targets(geocodes=(CODE,) * 3), "limits.geocodes"),
        (Targets(networks=("a", "b"), groups=("c",)), "limits.networks"),
        (Targets(bad_addresses=("a", "b", "c")), "limits.networks"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_with_its_name_and_value(targets, limit):
    with pytest.raises(Refusal) as refused:
        require_countable(targets, LIMITS)

    assert (refused.value.status, refused.value.code) == (422, "too-much")
    told = [reason.text for reason in refused.value.reasons]
    assert any(f"({limit})" in text and str(getattr(LIMITS, limit.partition(".")[2])) in text for text in told)


def test_what_is_within_the_limits_passes():
    require_countable(Targets(polygons=(PolygonTarget("a", RING),) * 2, circles=(CIRCLE,) * 2), LIMITS)


def test_every_text_beyond_its_limit_is_named_by_its_path():
    request = MessageRequest(
        zone="5301", kind=Kind.NEWS, title="t", targets=Targets(), channels=(Channel.SMS,),
        texts=(MessageText("nl", sms="x" * 161), MessageText("fr", sms="y")),
    )  # fmt: skip

    with pytest.raises(Refusal) as refused:
        require_modest(request, LIMITS)

    assert [(r.path, r.value) for r in refused.value.reasons] == [("", "2"), ("$.texts[0].sms", "161")]


@pytest.fixture
async def centre(database):
    return await Centre(database).open()


async def test_an_alert_beyond_a_limit_is_refused_and_burns_no_identifier(centre: Centre) -> None:
    centre.desk.limits = LimitSettings(geocodes=1)
    code = b"<geocode><valueName>POLICEZONE</valueName><value>5301</value></geocode>"
    large = document("a", "Brand").replace(code, code + code.replace(b"5301", b"5302"))

    with pytest.raises(Refusal) as refused:
        await centre.desk.submit(centre.caller, large)

    assert refused.value.code == "too-much"
    assert (await centre.desk.submit(centre.caller, document("a", "Brand"))).created


async def test_an_account_has_so_many_turns_and_others_have_theirs():
    turns = Turns(at_once=3, per_account=2, wait_s=5)

    async with turns.of(1), turns.of(1):
        with pytest.raises(Refusal) as refused:
            async with turns.of(1):
                pass
        async with turns.of(2):
            pass

    assert (refused.value.status, refused.value.code) == (429, "too-many-at-once")
    assert "limits.at_once_per_account" in refused.value.title
    async with turns.of(1):
        pass


async def test_who_waits_too_long_for_others_is_told_to_come_again():
    turns = Turns(at_once=1, per_account=2, wait_s=0.01)

    async with turns.of(1):
        with pytest.raises(Refusal) as refused:
            async with turns.of(2):
                pass

    assert (refused.value.status, refused.value.code) == (503, "too-busy")
    async with turns.of(2):
        pass


async def test_behind_a_thousand_of_one_account_another_has_its_turn_at_once():
    shared = Shared(at_once=4, per_account=3)
    held = asyncio.Event()
    begun: list[int] = []

    async def work(account_id: int) -> None:
        async with shared.of(account_id):
            begun.append(account_id)
            await held.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(1000):
            tasks.create_task(work(1))
        await asyncio.sleep(0)
        tasks.create_task(work(2))
        for _ in range(5):
            await asyncio.sleep(0)
        assert begun == [1, 1, 1, 2]
        held.set()

    assert begun.count(1) == 1000
    assert not shared._own
