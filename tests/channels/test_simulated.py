"""The carrier that reaches nobody keeps the carrier contract, and its peer is as moody as it is told to be."""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager

import msgspec
import pytest

from channels.contract import (
    Accepted,
    CarrierState,
    Channel,
    Deferred,
    InDoubt,
    Mode,
    NotSent,
    Outgoing,
    ReceiptState,
    Refused,
    Throttled,
)
from channels.simulated.carrier import Arrival, Outage, SimulatedCarrier, SimulatedSettings
from channels.simulated.peer import Delay, SimulatedPeer
from channels.sms import segments
from channels.voice.script import Script
from tests.channels.conformance import CarrierContract, Inbox, in_its_own_process, now, outcomes, running, until

QUICK = Delay(0.001, 0.005, 0.02)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Words(msgspec.Struct, frozen=True):
    units: int = 1


def an_address(channel: Channel, number: int) -> str:
    return f"member{number}@example.be" if channel is Channel.EMAIL else f"+324770{number:05}"


class SimulatedBench:
    reports = True
    longest_units = 3

    def __init__(self, settings: SimulatedSettings, *, now_ms=wall_ms) -> None:
        self.settings = settings
        self.carrier = SimulatedCarrier(settings, now_ms)

    def message(self, number, *, due, expires_ms=None, address=None):
        content = Words(len(due))
        if self.settings.channel is Channel.SMS:
            content = segments.prepare("a" * 140 * len(due))
            assert content.units == len(due)
        if self.settings.channel is Channel.VOICE:
            content = Script(language="nl", opening="", body="Hallo.", menu="", seconds=20.0)
        return Outgoing(
            reference=f"test-{number}",
            address=address or an_address(self.settings.channel, number),
            name="Jan",
            content=content,
            due=tuple(due),
            expires_ms=expires_ms,
        )

    def lines(self) -> list[Arrival]:
        with open(self.settings.dump, "rb") as file:
            return [msgspec.json.decode(line, type=Arrival) for line in file]

    def arrivals(self):
        try:
            return [(line.address, line.at_s) for line in self.lines()]
        except FileNotFoundError:
            return []


@pytest.fixture
def a_bench(tmp_path):
    """Makes a bench; settings as keywords."""

    def make(channel=Channel.SMS, **settings):
        given = {"answer": QUICK, "receipt": QUICK, "answer_timeout_s": 0.5, "window": 100, "speed": 1000.0}
        given |= {"name": f"sim-{channel}", "channel": channel, "dump": str(tmp_path / "wire")} | settings
        return SimulatedBench(SimulatedSettings(**given))

    return make


class SimulatedContract(CarrierContract):
    channel: Channel
    shares: dict[str, float] = {}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _room(self, a_bench):
        self.a_bench = a_bench

    @asynccontextmanager
    async def bench(self, *, silent=False):
        bench = self.a_bench(self.channel, shares={"in-doubt": 1.0} if silent else self.shares)
        if self.channel is not Channel.SMS:
            bench.longest_units = 1
        yield bench


class TestSimulatedSms(SimulatedContract):
    channel = Channel.SMS


class TestSimulatedEmail(SimulatedContract):
    channel = Channel.EMAIL
    shares = {"delivered": 1.0}  # noqa: RUF012


class TestSimulatedVoice(SimulatedContract):
    channel = Channel.VOICE


class SimulatedInItsOwnProcess(SimulatedContract):
    @asynccontextmanager
    async def bench(self, *, silent=False):
        async with super().bench(silent=silent) as bench, in_its_own_process(bench, bench.settings):
            yield bench


class TestSimulatedSmsInItsOwnProcess(SimulatedInItsOwnProcess):
    channel = Channel.SMS


class TestSimulatedVoiceInItsOwnProcess(SimulatedInItsOwnProcess):
    channel = Channel.VOICE


WORDS = [
    (Channel.SMS, "delivered", Accepted, ReceiptState.DELIVERED),
    (Channel.SMS, "failed", Accepted, ReceiptState.FAILED),
    (Channel.SMS, "expired", Accepted, ReceiptState.EXPIRED),
    (Channel.SMS, "silent", Accepted, None),
    (Channel.SMS, "refused", Refused, None),
    (Channel.SMS, "deferred", Deferred, None),
    (Channel.EMAIL, "throttled", Throttled, None),
    (Channel.EMAIL, "not-sent", NotSent, None),
    (Channel.EMAIL, "failed", Accepted, ReceiptState.FAILED),
    (Channel.VOICE, "confirmed", Accepted, ReceiptState.DELIVERED),
    (Channel.VOICE, "heard", Accepted, ReceiptState.DELIVERED),
    (Channel.VOICE, "heard-part", Accepted, ReceiptState.FAILED),
    (Channel.VOICE, "voicemail", Accepted, ReceiptState.PENDING),
    (Channel.VOICE, "busy", Deferred, None),
    (Channel.VOICE, "no-answer", Deferred, None),
    (Channel.VOICE, "bad-number", Refused, None),
    (Channel.VOICE, "in-doubt", InDoubt, "perhaps"),
]


@pytest.mark.parametrize(("channel", "word", "kind", "state"), WORDS)
async def test_a_forced_word_happens_to_every_address_that_ends_so(a_bench, channel, word, kind, state):
    bench = a_bench(channel, forced={"777": word})
    inbox = Inbox()
    address = "ann777@example.be" if channel is Channel.EMAIL else "+32477000777"
    async with running(bench.carrier, inbox):
        group = [bench.message(1, due=[now()], address=address)]
        [(_, outcome)] = await outcomes(bench.carrier, group)
        if isinstance(state, ReceiptState):
            await until(lambda: inbox.kept)
        else:
            await asyncio.sleep(0.1)

    assert isinstance(outcome, kind)
    if state != "perhaps":
        assert {receipt.state for receipt in inbox.kept} == ({state} if state else set())


async def test_the_receipt_of_a_call_says_how_it_ended_and_how_long_it_talked(a_bench):
    bench = a_bench(Channel.VOICE, forced={"1": "heard"})
    inbox = Inbox()
    async with running(bench.carrier, inbox):
        await outcomes(bench.carrier, [bench.message(1, due=[now()])])
        await until(lambda: inbox.kept)

    [receipt] = inbox.kept
    assert (receipt.code, receipt.text, receipt.echoed, receipt.ref) == ("heard", "20 s", True, "test-1")


async def test_a_call_takes_up_the_window_until_it_has_ended(a_bench):
    bench = a_bench(Channel.VOICE, window=1, speed=20.0 / 0.3)
    async with running(bench.carrier):
        await outcomes(bench.carrier, [bench.message(1, due=[now()])])
        answered_at = now()
        assert bench.carrier.room == 0

        await outcomes(bench.carrier, [bench.message(2, due=[now()])])
        await until(lambda: bench.carrier.room == 1)

    assert bench.lines()[1].at_s >= answered_at + 0.25


async def test_the_window_bounds_what_is_written_and_not_answered(a_bench):
    bench = a_bench(window=5, answer=Delay(0.05, 0.05, 0.05))
    highest = 0
    async with running(bench.carrier):

        async def watch() -> None:
            nonlocal highest
            while True:
                highest = max(highest, bench.carrier.status().in_flight)
                await asyncio.sleep(0.002)

        watching = asyncio.create_task(watch())
        groups = [[bench.message(10 * g + n, due=[now()]) for n in range(10)] for g in range(3)]
        answered = await asyncio.gather(*(outcomes(bench.carrier, group) for group in groups))
        watching.cancel()

    assert [len(each) for each in answered] == [10, 10, 10]
    assert highest == 5
    assert len(bench.lines()) == 30


async def test_the_same_seed_gives_every_message_the_same_fate_and_another_seed_another(a_bench):
    async def words(seed: int) -> list[str]:
        bench = a_bench(shares={"refused": 0.2, "failed": 0.3, "deferred": 0.2}, seed=seed, dump=None)
        async with running(bench.carrier):
            group = [bench.message(number, due=[now()]) for number in range(100)]
            return [repr(outcome) for _, outcome in sorted(await outcomes(bench.carrier, group))]

    assert await words(1) == await words(1)
    assert await words(1) != await words(2)


async def test_shares_are_kept_over_many_messages(a_bench):
    shares = {"refused": 0.1, "failed": 0.2, "deferred": 0.05}
    bench = a_bench(shares=shares, window=5000)
    async with running(bench.carrier):
        await outcomes(bench.carrier, [bench.message(number, due=[now()]) for number in range(4000)])

    counts = Counter(line.word for line in bench.lines())
    assert counts.total() == 4000
    for word, share in (shares | {"delivered": 0.65}).items():
        assert counts[word] / 4000 == pytest.approx(share, abs=0.03)


async def test_an_address_that_is_refused_is_refused_at_every_attempt(a_bench):
    bench = a_bench(shares={"refused": 0.5})
    async with running(bench.carrier):
        groups = [
            [bench.message(attempt * 100 + n, due=[now()], address=an_address(Channel.SMS, n)) for n in range(30)]
            for attempt in range(3)
        ]
        attempts = [await outcomes(bench.carrier, group) for group in groups]

    refused = [{index for index, outcome in answered if isinstance(outcome, Refused)} for answered in attempts]
    assert 0 < len(refused[0]) < 30
    assert refused[0] == refused[1] == refused[2]


async def test_a_throttled_message_rests_the_whole_carrier(a_bench):
    bench = a_bench(forced={"00001": "throttled"}, throttle_pause_s=0.3)
    async with running(bench.carrier):
        [(_, throttled)] = await outcomes(bench.carrier, [bench.message(1, due=[now()])])
        assert bench.carrier.room == 0
        assert bench.carrier.status().state is CarrierState.PAUSED
        [(_, meanwhile)] = await outcomes(bench.carrier, [bench.message(2, due=[now()])])
        await until(lambda: bench.carrier.room > 0)
        [(_, afterwards)] = await outcomes(bench.carrier, [bench.message(3, due=[now()])])

    assert throttled == Throttled(0.3, "simulated")
    assert isinstance(meanwhile, Throttled)
    assert isinstance(afterwards, Accepted)
    assert [line.reference for line in bench.lines()] == ["test-1", "test-3"]


async def test_a_peer_with_a_ceiling_throttles_what_is_above_it(a_bench):
    bench = a_bench(peer_rate_per_s=10)
    async with running(bench.carrier):
        answered = await outcomes(bench.carrier, [bench.message(number, due=[now()]) for number in range(15)])

    kinds = Counter(type(outcome) for _, outcome in answered)
    assert kinds == {Accepted: 10, Throttled: 5}


async def test_receipts_can_come_twice_and_before_the_answer(a_bench):
    bench = a_bench(early=1.0, doubled=1.0, answer=Delay(0.4, 0.4, 0.4))
    inbox = Inbox()
    async with running(bench.carrier, inbox):
        sending = asyncio.create_task(outcomes(bench.carrier, [bench.message(1, due=[now(), now()])]))
        await until(lambda: len(inbox.kept) == 4)
        assert not sending.done()
        [(_, outcome)] = await sending

    assert Counter(receipt.ref for receipt in inbox.kept) == {ref: 2 for ref in outcome.refs}


async def test_an_outage_loses_the_session_and_the_next_one_works(a_bench):
    bench = a_bench(outages=(Outage(0.15, 0.2),), answer=Delay(0.3, 0.3, 0.3))
    async with running(bench.carrier):
        group = [bench.message(1, due=[now()]), bench.message(2, due=[now() + 5])]
        lost = dict(await outcomes(bench.carrier, group))
        assert bench.carrier.status().state is CarrierState.DOWN
        await until(lambda: bench.carrier.room > 0)
        [(_, again)] = await outcomes(bench.carrier, [bench.message(3, due=[now()])])

    assert (type(lost[0]), type(lost[1])) == (InDoubt, NotSent)
    assert isinstance(again, Accepted)


async def test_receipts_that_were_not_kept_when_it_stopped_come_after_the_next_start(a_bench):
    bench = a_bench()
    deaf, inbox = Inbox(refusals=10**9), Inbox()
    async with running(bench.carrier, deaf):
        await outcomes(bench.carrier, [bench.message(1, due=[now()])])
        await until(lambda: deaf.offered)
    async with running(bench.carrier, inbox):
        await until(lambda: inbox.kept)

    assert len(inbox.kept) == 1


async def test_every_call_start_can_be_counted_in_the_dump(a_bench):
    bench = a_bench(Channel.VOICE)
    async with running(bench.carrier):
        start = now()
        group = [bench.message(number, due=[start + number / 100]) for number in range(20)]
        await outcomes(bench.carrier, group)

    lines = bench.lines()
    assert [line.reference for line in lines] == [f"test-{number}" for number in range(20)]
    assert all(line.at_s >= start + number / 100 - 0.002 for number, line in enumerate(lines))
    assert abs(lines[0].at_ms - wall_ms()) < 60_000


def test_the_ids_of_an_sms_are_its_own_and_one_a_part(a_bench):
    bench = a_bench()
    peer = SimulatedPeer(bench.settings)

    def refs(number, units):
        return peer.refs(bench.message(number, due=[0.0] * units))

    assert len({*refs(1, 3), *refs(2, 3)}) == 6


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"channel": "sms", "shares": {"busy": 0.1}}, "sms has no word busy"),
        ({"channel": "voice", "forced": {"1": "deferred"}}, "voice has no word deferred"),
        ({"channel": "sms", "shares": {"failed": 0.7, "refused": 0.4}}, "add up to 1"),
        ({"channel": "sms", "shares": {"failed": -0.1}}, "between 0 and 1"),
        ({"channel": "sms", "window": 0}, "above zero"),
        ({"channel": "sms", "answer": {"least": 2, "mean": 1, "most": 3}}, "least <= mean"),
        ({"channel": "sms", "colour": "red"}, "unknown field `colour`"),
    ],
)
def test_settings_that_make_no_sense_are_refused(broken, reason):
    with pytest.raises(msgspec.ValidationError, match=reason):
        msgspec.convert({"type": "simulated", "name": "sim"} | broken, SimulatedSettings)


def test_it_stands_in_the_simulated_lanes_unless_it_is_told_otherwise():
    assert SimulatedSettings(name="sim", channel=Channel.SMS).mode is Mode.SIMULATION
