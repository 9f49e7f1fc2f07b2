"""An SMPP account as a carrier, over real sockets to a false SMSC: what it takes up, answers and risks."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import msgspec
import pytest

from channels.contract import (
    Accepted,
    Carrier,
    CarrierState,
    Deferred,
    InDoubt,
    NotSent,
    Receipt,
    ReceiptsRefused,
    ReceiptState,
    Refused,
    Throttled,
)
from channels.sms.segments import prepare
from channels.sms.smpp.codec import encode
from channels.sms.smpp.ids import IdBase
from channels.sms.smpp.pdu import BindResponse, DeliverSm, GenericNack, SubmitSmResponse
from loadtest.sinks.smsc import SmscOptions, SmscSink
from tests.channels.conformance import answers

LONG = "Alerte BIN. Voiture suspecte, " * 9 + "appelez le 112."
UNICODE = "Внимание! " * 12


def number(n: int) -> str:
    return f"+3247{n:07}"


async def test_a_message_arrives_and_is_accepted_then_delivered(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        [outcome] = await account.send(outgoing("Fenêtre ouverte – café"))
        await until(lambda: account.receipts)

        [message] = smsc.messages
        assert outcome == Accepted((message.id,))
        assert (message.destination, message.text, message.source) == ("32477123456", "Fenetre ouverte - café", "PLP")
        [receipt] = account.receipts
        assert (receipt.ref, receipt.state, receipt.destination) == (
            message.id,
            ReceiptState.DELIVERED,
            "+32477123456",
        )
        assert receipt.carrier == "sms-a"


@pytest.mark.parametrize("text", [LONG, UNICODE, "{" * 200, "🔥" * 67])
async def test_a_long_message_is_whole_on_the_handset(open_account, outgoing, until, text: str) -> None:
    content = prepare(text)
    async with SmscSink() as smsc, open_account(smsc.port, binds=2) as account:
        [outcome] = await account.send(outgoing(content))
        await until(lambda: len(account.receipts) == content.units)

        assert [m.text for m in smsc.messages] == [content.text]
        assert [p.part for p in smsc.parts] == list(range(1, content.units + 1))
        assert len({p.connection for p in smsc.parts}) == 1
        assert outcome == Accepted(tuple(p.id for p in smsc.parts))
        assert {r.ref for r in account.receipts} == {p.id for p in smsc.parts}


async def test_two_long_messages_to_one_number_have_references_of_their_own(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        await account.send(*[outgoing(LONG) for _ in range(8)])

        assert len({p.reference for p in smsc.parts}) == 8
        assert len(smsc.messages) == 8


async def test_the_alphabet_of_the_account_is_written_or_ucs2_if_it_costs_no_more_or_legible_letters(
    open_account, outgoing
) -> None:
    async with SmscSink(SmscOptions(receipts="none")) as smsc:
        async with open_account(smsc.port, default_alphabet="latin1") as account:
            await account.send(outgoing("café [1]"), outgoing("10 €"))
            await account.send(outgoing("€" + "a" * 150))
            [too_long] = await account.send(outgoing(prepare("€" + "a" * 150, mode="exact")))

        assert [p.data_coding for p in smsc.parts] == [0, 8, 0]
        assert [p.text for p in smsc.parts[1:]] == ["10 €", "EUR" + "a" * 150]
        assert isinstance(too_long, Refused)
        assert "latin1" in too_long.text


@pytest.mark.parametrize(
    ("ids", "receipts", "base", "receipt_base"),
    [("hex", "dec", "hex", "dec"), ("dec", "hex", "dec", "hex"), ("uuid", "same", "raw", "raw")],
)
async def test_answer_and_receipt_name_one_reference_though_written_in_two_bases(
    open_account, outgoing, until, ids: str, receipts: str, base: str, receipt_base: str
) -> None:
    options = SmscOptions(id_form=ids, receipt_id_form=receipts)
    bases = {"id_base_response": IdBase(base), "id_base_receipt": IdBase(receipt_base)}
    async with SmscSink(options) as smsc, open_account(smsc.port, **bases) as account:
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(20)])
        await until(lambda: len(account.receipts) == 20)

        assert {outcome.refs for outcome in outcomes} == {(receipt.ref,) for receipt in account.receipts}


async def test_without_known_bases_the_reference_is_an_alternative(open_account, outgoing, until) -> None:
    options = SmscOptions(id_form="hex", receipt_id_form="dec", first_id=0xABCDE0)
    async with SmscSink(options) as smsc, open_account(smsc.port) as account:
        [outcome] = await account.send(outgoing())
        await until(lambda: account.receipts)

        assert outcome == Accepted(("ABCDE1",))
        assert "ABCDE1" in account.receipts[0].readings(account.receipts[0].ref)


async def test_receipts_early_and_twice_are_all_handed_on(open_account, outgoing, until) -> None:
    for mode, expected in (("early", 30), ("twice", 60)):
        async with SmscSink(SmscOptions(receipts=mode)) as smsc, open_account(smsc.port) as account:
            await account.send(*[outgoing(number=number(n)) for n in range(30)])
            await until(lambda account=account, expected=expected: len(account.receipts) == expected)
            await until(lambda smsc=smsc, expected=expected: smsc.counts["acknowledged"] == expected)


async def test_a_receipt_is_acknowledged_only_after_its_commit(open_account, outgoing, until) -> None:
    commit, arrived = asyncio.Event(), asyncio.Event()

    async def slow(receipts: Sequence[Receipt]) -> None:
        arrived.set()
        await commit.wait()

    async with SmscSink() as smsc, open_account(smsc.port, sink=slow) as account:
        await account.send(outgoing())
        await asyncio.wait_for(arrived.wait(), 5)
        [again] = await account.send(outgoing())  # a commit under way delays no message

        assert isinstance(again, Accepted)
        assert smsc.counts["acknowledged"] == 0

        commit.set()
        await until(lambda: smsc.counts["acknowledged"] == 2)


async def test_receipts_that_cannot_be_committed_are_repeated_by_the_peer(open_account, outgoing, until) -> None:
    kept: list[Receipt] = []
    troubles = [ReceiptsRefused("disk full"), RuntimeError("a bug")]

    async def sink(receipts: Sequence[Receipt]) -> None:
        if troubles:
            raise troubles.pop(0)
        kept.extend(receipts)

    options = SmscOptions(receipt_repeat_s=0.02)
    async with SmscSink(options) as smsc, open_account(smsc.port, sink=sink) as account:
        await account.send(outgoing())
        await until(lambda: kept)

        assert smsc.counts["receipts_refused"] == 2
        await until(lambda: smsc.counts["acknowledged"] == 1)
        assert account.carrier.status().state is CarrierState.UP


async def test_a_commit_that_never_ends_is_given_up_and_the_receipt_repeated(open_account, outgoing, until) -> None:
    async def stuck(receipts: Sequence[Receipt]) -> None:
        await asyncio.Event().wait()

    options = SmscOptions(receipt_repeat_s=60)
    async with SmscSink(options) as smsc, open_account(smsc.port, sink=stuck, answer_timeout_s=0.2) as account:
        await account.send(outgoing())

        await until(lambda: smsc.counts["receipts_refused"] == 1)


async def test_more_receipts_than_can_wait_are_refused_not_hoarded(open_account, outgoing, until) -> None:
    commit = asyncio.Event()

    async def slow(receipts: Sequence[Receipt]) -> None:
        await commit.wait()

    options = SmscOptions(receipt_repeat_s=0.05)
    async with (
        SmscSink(options) as smsc,
        open_account(smsc.port, sink=slow, window=200, receipts_waiting=10) as account,
    ):
        await account.send(*[outgoing(number=number(n)) for n in range(100)])
        await until(lambda: smsc.counts["receipts_refused"] > 0)

        commit.set()
        await until(lambda: smsc.counts["acknowledged"] == 100)


async def test_a_persons_reply_is_acknowledged_and_disturbs_nothing(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        reply = encode(DeliverSm(source="32477123456", short_message=b"STOP"))
        smsc.links[0].deliver([reply[16:]])
        await until(lambda: smsc.counts["acknowledged"] == 1)

        assert account.receipts == []


async def test_what_the_peer_refuses_is_an_outcome_of_its_kind(open_account, outgoing) -> None:
    for status, kind in ((0x0B, Refused), (0x14, Deferred), (0x64, Deferred), (0x08, Deferred), (0x0400, Deferred)):
        options = SmscOptions(refuse_suffix="99", refuse_status=status)
        async with SmscSink(options) as smsc, open_account(smsc.port) as account:
            good, bad = await account.send(outgoing(), outgoing(number="+32477000099"))

            assert isinstance(good, Accepted)
            assert isinstance(bad, kind)
            assert bad.code == f"0x{status:08X}"


async def test_an_account_may_say_otherwise_what_is_permanent(open_account, outgoing) -> None:
    options = SmscOptions(refuse_suffix="6", refuse_status=0x0411)
    async with SmscSink(options) as smsc, open_account(smsc.port, permanent_statuses=(0x0411,)) as account:
        [outcome] = await account.send(outgoing())

        assert isinstance(outcome, Refused)


async def test_a_long_message_refused_in_part_names_the_parts_that_were_taken(open_account, outgoing) -> None:
    options = SmscOptions(fail_every=2, fail_status=0x0B)
    async with SmscSink(options) as smsc, open_account(smsc.port, window=1) as account:
        [outcome] = await account.send(outgoing(LONG))

        assert isinstance(outcome, Refused)
        assert outcome.refs == (smsc.parts[0].id,)
        assert len(smsc.parts) == 2  # the third part was not worth its price


async def test_a_part_refused_for_a_moment_is_offered_again_until_the_message_is_whole(open_account, outgoing) -> None:
    for options in (SmscOptions(fail_every=2), SmscOptions(throttle_every=2)):
        async with SmscSink(options) as smsc, open_account(smsc.port, throttle_first_s=0.02) as account:
            [outcome] = await account.send(outgoing(LONG))

            assert isinstance(outcome, Accepted)
            assert len(outcome.refs) == prepare(LONG).units
            assert [m.text for m in smsc.messages] == [prepare(LONG).text]


async def test_a_message_that_stays_half_taken_is_in_doubt(open_account, outgoing, until) -> None:
    async with (
        SmscSink(SmscOptions(answer_delay_s=0.05)) as smsc,
        open_account(smsc.port, window=1, throttle_first_s=0.01) as account,
    ):
        task = asyncio.create_task(account.send(outgoing(LONG)))
        await until(lambda: smsc.parts)
        smsc.options = SmscOptions(fail_every=1)
        [outcome] = await task

        assert isinstance(outcome, InDoubt)
        assert outcome.refs == (smsc.parts[0].id,)
        assert len(smsc.parts) <= 2 + 2 * 4


async def test_a_peer_that_asks_for_a_slower_pace_gets_a_rest(open_account, outgoing, until) -> None:
    async with (
        SmscSink(SmscOptions(throttle_every=1)) as smsc,
        open_account(smsc.port, window=10, throttle_first_s=0.3) as account,
    ):
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(40)])

        assert all(isinstance(outcome, Throttled) for outcome in outcomes)
        assert max(outcome.pause_s for outcome in outcomes) == pytest.approx(0.3)
        assert len(smsc.parts) == 10  # the window; the rest was given back unsent
        assert account.carrier.status().state is CarrierState.PAUSED
        assert account.carrier.room == 0
        [early] = await account.send(outgoing())
        assert isinstance(early, Throttled)
        assert len(smsc.parts) == 10

        smsc.options = SmscOptions()
        await until(lambda: account.carrier.room == 10)
        assert account.carrier.status().state is CarrierState.UP
        [outcome] = await account.send(outgoing())
        assert isinstance(outcome, Accepted)


async def test_nothing_leaves_before_its_slot(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        loop, start = asyncio.get_running_loop(), time.time_ns()
        at = loop.time()
        content = prepare(LONG)
        long_slots = [at + 0.05 * (k + 1) for k in range(content.units)]

        await account.send(
            outgoing(content, due=long_slots), *[outgoing(number=number(n), due=at + n / 100) for n in range(20)]
        )

        elapsed = {(p.destination, p.part): (p.at_ns - start) / 1e9 for p in smsc.parts}
        for n in range(20):
            assert n / 100 - 0.002 <= elapsed[number(n)[1:], 1] < n / 100 + 0.5
        for k in range(content.units):
            assert elapsed["32477123456", k + 1] >= 0.05 * (k + 1) - 0.002


async def test_after_a_stall_the_backlog_does_not_leave_in_a_burst(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port, window=500) as account:
        at = asyncio.get_running_loop().time()
        group = [outgoing(number=number(n), due=at + n / 500) for n in range(300)]
        task = asyncio.create_task(account.send(*group))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        time.sleep(0.3)  # noqa: ASYNC251 - the stall
        await task

        times = sorted(p.at_ns / 1e9 for p in smsc.parts)
        busiest = max(sum(t <= u < t + 0.2 for u in times) for t in times)
        assert busiest <= 500 * 0.2 * 1.01 + 10


async def test_no_more_than_the_window_is_ever_unanswered(open_account, outgoing) -> None:
    async with SmscSink(SmscOptions(answer_delay_s=0.02)) as smsc, open_account(smsc.port, window=7) as account:
        task = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(60)]))
        most = 0
        while not task.done():
            most = max(most, account.carrier.status().in_flight)
            await asyncio.sleep(0.002)

        assert most == 7
        assert all(isinstance(outcome, Accepted) for outcome in await task)
        assert len(smsc.messages) == 60


async def test_room_is_the_free_window_less_what_waits(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port, binds=2, window=10) as account:
        assert account.carrier.room == 20
        late = asyncio.get_running_loop().time() + 60
        sending = answers(account.carrier, [outgoing(LONG, due=late), outgoing(due=late)])
        waiting = asyncio.create_task(anext(sending))
        await until(lambda: account.carrier.room == 20 - prepare(LONG).units - 1)

        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await sending.aclose()

        assert account.carrier.room == 20
        assert smsc.parts == []


async def test_while_what_waits_is_late_no_more_is_taken_up(open_account, outgoing, until) -> None:
    """Stalls of a busy loop must not add up: later messages get slots of their own instead."""
    async with SmscSink() as smsc, open_account(smsc.port, window=50, rate_per_s=20) as account:
        late = asyncio.get_running_loop().time() - 1
        sending = asyncio.create_task(account.send(*(outgoing(due=late + n / 20) for n in range(6))))
        await until(lambda: smsc.messages)
        assert account.carrier.room == 0

        assert all(isinstance(outcome, Accepted) for outcome in await sending)
        assert account.carrier.room == 50


async def test_of_a_group_that_is_withdrawn_nothing_more_is_written(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        at = asyncio.get_running_loop().time()
        group = [outgoing(number=number(n), due=at + n * 0.05) for n in range(20)]

        async with contextlib.aclosing(answers(account.carrier, group)) as told:
            await anext(told)
        arrived = len(smsc.parts)
        await asyncio.sleep(0.3)

        assert len(smsc.parts) <= arrived + 1
        [outcome] = await account.send(outgoing())
        assert isinstance(outcome, Accepted)


async def test_many_groups_at_once_wait_for_one_another_in_nothing(open_account, outgoing) -> None:
    async with (
        SmscSink(SmscOptions(answer_delay_s=0.005)) as smsc,
        open_account(smsc.port, binds=2, window=50) as account,
    ):
        groups = [[outgoing(number=number(g * 50 + n)) for n in range(g % 50 + 1)] for g in range(100)]

        outcomes = await asyncio.gather(*[account.send(*group) for group in groups])

        sent = sum(map(len, groups))
        assert sum(isinstance(o, Accepted) for group in outcomes for o in group) == sent
        assert len({m.destination for m in smsc.messages}) == len(smsc.messages) == sent
        assert len({p.connection for p in smsc.parts}) == 2


async def test_a_message_expired_before_it_could_leave_is_not_sent(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        past = int(time.time() * 1000) - 1

        [outcome] = await account.send(outgoing(expires_ms=past))

        assert isinstance(outcome, NotSent)
        assert smsc.parts == []


async def test_what_is_wrong_with_a_message_is_its_outcome_and_no_other_messages(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        unslotted = msgspec.structs.replace(outgoing(number=number(2)), due=())
        foreign = msgspec.structs.replace(outgoing(number=number(3)), content=b"no text")

        outcomes = await account.send(
            outgoing(number=number(1)), unslotted, foreign, outgoing(expires_ms=1 << 70), outgoing(number=number(5))
        )

        assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Refused, Refused, Accepted]


async def test_the_peer_is_told_until_when_a_message_is_worth_delivering(open_account, outgoing) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        await account.send(outgoing(expires_ms=4_102_444_800_500))

        assert smsc.parts[0].validity == "000101000000000+"


@pytest.mark.parametrize("address", ["32477123456", "+32 477", "", "+", "+3247712345678901", "+３２"])
async def test_an_address_that_is_no_number_is_refused_and_nothing_written(open_account, outgoing, address) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        [outcome] = await account.send(outgoing(number=address))

        assert isinstance(outcome, Refused)
        assert smsc.parts == []


async def test_a_peer_that_never_answers_leaves_messages_in_doubt_and_the_unwritten_not_sent(
    open_account, outgoing
) -> None:
    async with (
        SmscSink(SmscOptions(silent=True)) as smsc,
        open_account(
            smsc.port, window=5, answer_timeout_s=0.3, timeouts_to_recycle=100, reconnect_first_s=5.0
        ) as account,
    ):
        started = time.monotonic()
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(8)])

        assert [type(outcome) for outcome in outcomes[:5]] == [InDoubt] * 5
        assert {type(outcome) for outcome in outcomes[5:]} <= {NotSent, InDoubt}
        assert {m.destination for m in smsc.messages} == {
            number(n)[1:] for n, outcome in enumerate(outcomes) if isinstance(outcome, InDoubt)
        }
        assert time.monotonic() - started < 2


async def test_nothing_waits_longer_for_the_window_than_an_answer_may_take(open_account, outgoing) -> None:
    async with (
        SmscSink(SmscOptions(silent=True)) as smsc,
        open_account(smsc.port, window=1, answer_timeout_s=0.2, timeouts_to_recycle=100) as account,
    ):
        started = time.monotonic()
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(12)])

        assert isinstance(outcomes[0], InDoubt)
        assert isinstance(outcomes[-1], NotSent)
        assert time.monotonic() - started < 1.0  # not twelve times 0.2 s


async def test_a_bind_that_answers_nothing_is_made_again(open_account, outgoing, until) -> None:
    async with (
        SmscSink(SmscOptions(mute_after=1, receipts="none")) as smsc,
        open_account(smsc.port, answer_timeout_s=0.1, timeouts_to_recycle=3) as account,
    ):
        first, *others = await account.send(*[outgoing(number=number(n)) for n in range(1)])
        others = await account.send(*[outgoing(number=number(n)) for n in range(4)])

        assert isinstance(first, Accepted)
        assert all(isinstance(outcome, InDoubt) for outcome in others)
        await until(lambda: smsc.counts["binds"] == 2)


async def test_a_peer_gone_deaf_is_noticed_by_enquire_link(open_account, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port, enquire_link_s=0.05, answer_timeout_s=0.1) as account:
        await asyncio.sleep(0.2)
        assert smsc.counts["binds"] == 1  # it answers, so nothing happens

        smsc.options = SmscOptions(deaf=True)
        await until(lambda: account.carrier.status().state is CarrierState.DOWN)
        smsc.options = SmscOptions()
        await until(lambda: account.carrier.status().state is CarrierState.UP)


async def test_a_connection_cut_in_the_middle_of_a_unit_leaves_the_unanswered_in_doubt_and_is_made_again(
    open_account, outgoing, until
) -> None:
    options = SmscOptions(silent=True, close_after=5)
    async with SmscSink(options) as smsc, open_account(smsc.port, window=5, reconnect_first_s=0.3) as account:
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(9)])

        assert [type(outcome) for outcome in outcomes] == [InDoubt] * 5 + [NotSent] * 4
        smsc.options = SmscOptions()
        await until(lambda: account.carrier.room)
        [again] = await account.send(outgoing())
        assert isinstance(again, Accepted)


async def test_when_one_of_two_binds_is_lost_what_has_not_begun_leaves_on_the_other(
    open_account, outgoing, until
) -> None:
    async with (
        SmscSink(SmscOptions(answer_delay_s=0.05)) as smsc,
        open_account(smsc.port, binds=2, window=5, reconnect_first_s=5.0) as account,
    ):
        task = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(30)]))
        await until(lambda: smsc.parts)
        smsc.links[0].end(half=True)
        outcomes = await task

        kinds = [type(outcome) for outcome in outcomes]
        assert kinds.count(InDoubt) == 5
        assert kinds.count(Accepted) == 25
        assert "1 of 2 binds" in account.carrier.status().detail


async def test_a_long_message_cut_off_between_its_parts_is_in_doubt_with_the_parts_taken(
    open_account, outgoing, until
) -> None:
    async with SmscSink() as smsc, open_account(smsc.port, reconnect_first_s=5.0) as account:
        at = asyncio.get_running_loop().time()
        task = asyncio.create_task(account.send(outgoing(LONG, due=[at, at + 60, at + 60])))
        await until(lambda: account.receipts)
        smsc.drop()
        [outcome] = await task

        assert isinstance(outcome, InDoubt)
        assert outcome.refs == (smsc.parts[0].id,)


@pytest.mark.parametrize(
    "nonsense",
    [
        SubmitSmResponse(sequence=0x7FFFFFF0, message_id="ghost"),
        SubmitSmResponse(sequence=0, status=0x58),
        BindResponse(sequence=1, status=0x0E),
    ],
)
async def test_answers_to_nothing_change_nothing(open_account, outgoing, nonsense) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        smsc.send(nonsense)
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(10)])

        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert smsc.counts["binds"] == 1


async def test_a_nack_of_nothing_ends_the_session_which_is_made_again(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        smsc.send(GenericNack(sequence=0, status=0x02))
        await until(lambda: smsc.counts["binds"] == 2)
        await until(lambda: account.carrier.room)

        [outcome] = await account.send(outgoing())
        assert isinstance(outcome, Accepted)


async def test_a_peer_that_talks_something_else_is_left_and_its_answers_before_are_kept(
    open_account, outgoing, until
) -> None:
    async with SmscSink(SmscOptions(garbage_after=3)) as smsc, open_account(smsc.port, window=3) as account:
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(3)])

        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        smsc.options = SmscOptions()
        await until(lambda: smsc.counts["binds"] == 2)


async def test_a_peer_that_says_not_bound_has_taken_nothing_and_is_bound_again(open_account, outgoing, until) -> None:
    options = SmscOptions(fail_every=1, fail_status=0x04, receipts="none")
    async with SmscSink(options) as smsc, open_account(smsc.port) as account:
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(4)])

        assert all(isinstance(outcome, NotSent) for outcome in outcomes)
        await until(lambda: smsc.counts["binds"] == 2)


async def test_a_peer_that_reads_nothing_stalls_neither_the_loop_nor_the_books(open_account, outgoing) -> None:
    async with (
        SmscSink(SmscOptions(silent=True, stop_reading_after=1)) as smsc,
        open_account(smsc.port, window=10_000, answer_timeout_s=0.5, reconnect_first_s=5.0) as account,
    ):
        content = prepare("a" * 160)
        started = time.monotonic()
        outcomes = await account.send(*[outgoing(content, number=number(n)) for n in range(20_000)])

        assert {type(outcome) for outcome in outcomes} == {InDoubt, NotSent}
        assert time.monotonic() - started < 4
        arrived = {p.destination for p in smsc.parts}
        assert arrived <= {number(n)[1:] for n, o in enumerate(outcomes) if isinstance(o, InDoubt)}


@pytest.mark.parametrize("options", [SmscOptions(deaf=True), SmscOptions(bind_status=0x0F)])
async def test_an_account_that_cannot_bind_is_down_and_sends_nothing(open_account, outgoing, until, options) -> None:
    async with SmscSink(options) as smsc, open_account(smsc.port, up=False, connect_timeout_s=0.05) as account:
        await until(lambda: smsc.counts["connections"] >= 2)
        [outcome] = await account.send(outgoing())
        status = account.carrier.status()

        assert isinstance(outcome, NotSent)
        assert (status.state, account.carrier.room) == (CarrierState.DOWN, 0)
        assert "bind" in status.detail
        assert "bind" in outcome.reason


async def test_a_wrong_password_is_told_without_being_shown(open_account, until, caplog) -> None:
    async with (
        SmscSink(SmscOptions(password="right")) as smsc,
        open_account(smsc.port, up=False, password="wr0ng-s3cret") as account,
    ):
        await until(lambda: "ESME_RINVPASWD" in account.carrier.status().detail)

        assert "wr0ng" not in caplog.text
        assert "wr0ng" not in repr(account.carrier.status())
    async with SmscSink(SmscOptions(password="right")) as smsc, open_account(smsc.port, password="right"):
        assert smsc.counts["binds"] == 1


async def test_nobody_there_is_said_once_not_at_every_try(open_account, caplog, until) -> None:
    async with SmscSink() as smsc:
        port = smsc.port
    async with open_account(port, up=False, reconnect_longest_s=0.02) as account:
        await asyncio.sleep(0.3)

        assert account.carrier.status().state is CarrierState.DOWN
    assert sum(record.action == "smpp.bind_down" for record in caplog.records if hasattr(record, "action")) == 1


async def test_no_log_line_names_a_person_or_a_text(open_account, outgoing, caplog) -> None:
    caplog.set_level("DEBUG", logger="channels")
    async with SmscSink(SmscOptions(silent=True, close_after=1)) as smsc, open_account(smsc.port) as account:
        await account.send(outgoing("Secret"))

    assert caplog.records
    assert "32477" not in caplog.text
    assert "Secret" not in caplog.text
    assert all(hasattr(record, "action") for record in caplog.records if record.name.startswith("channels"))


async def test_a_separate_transmitter_and_receiver_make_one_account(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port, bind_as="separate") as account:
        await until(lambda: smsc.counts["binds"] == 2)
        outcomes = await account.send(*[outgoing(number=number(n)) for n in range(5)])
        await until(lambda: len(account.receipts) == 5)

        assert all(isinstance(outcome, Accepted) for outcome in outcomes)


async def test_stopping_waits_for_answers_and_receipts_then_unbinds(open_account, outgoing, until) -> None:
    async with SmscSink(SmscOptions(answer_delay_s=0.2)) as smsc:
        async with open_account(smsc.port, window=5) as account:
            task = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(8)]))
            await until(lambda: account.carrier.status().in_flight == 5)
        outcomes = await task

        assert [type(outcome) for outcome in outcomes] == [Accepted] * 5 + [NotSent] * 3
        assert smsc.counts["unbinds"] == 1
        [after] = await account.send(outgoing())
        assert isinstance(after, NotSent)


async def test_receipts_under_way_are_committed_and_acknowledged_before_unbinding(
    open_account, outgoing, until
) -> None:
    kept: list[Receipt] = []
    begun = asyncio.Event()

    async def slow(receipts: Sequence[Receipt]) -> None:
        begun.set()
        await asyncio.sleep(0.15)
        kept.extend(receipts)

    async with SmscSink() as smsc:
        async with open_account(smsc.port, sink=slow) as account:
            await account.send(outgoing())
            await asyncio.wait_for(begun.wait(), 5)
        await until(lambda: smsc.counts["acknowledged"] == 1)

        assert len(kept) == 1
        assert smsc.counts["unbinds"] == 1


async def test_a_long_message_that_has_begun_is_finished_before_unbinding(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc:
        async with open_account(smsc.port) as account:
            at = asyncio.get_running_loop().time()
            task = asyncio.create_task(account.send(outgoing(LONG, due=[at, at + 0.1, at + 0.2])))
            await until(lambda: smsc.parts)
        [outcome] = await task

        assert isinstance(outcome, Accepted)
        assert len(smsc.messages) == 1


async def test_stopping_a_peer_that_never_answers_is_bounded(open_account, outgoing, until) -> None:
    async with SmscSink(SmscOptions(silent=True, mute_after=1)) as smsc:
        async with open_account(smsc.port, drain_timeout_s=0.1) as account:
            task = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(3)]))
            await until(lambda: account.carrier.status().in_flight == 3)
            started = time.monotonic()

        assert time.monotonic() - started < 2
        assert all(isinstance(outcome, InDoubt) for outcome in await task)


async def test_receipts_that_came_while_nobody_was_bound_come_after(open_account, outgoing, until) -> None:
    async with SmscSink(SmscOptions(receipt_delay_s=0.1)) as smsc:
        async with open_account(smsc.port) as account:
            [outcome] = await account.send(outgoing())
        await asyncio.sleep(0.15)
        async with open_account(smsc.port) as later:
            await until(lambda: later.receipts)

        assert (later.receipts[0].ref,) == outcome.refs


async def test_it_is_a_carrier_and_tells_its_name_channel_and_mode(open_account) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        carrier: Carrier = account.carrier
        status = carrier.status()

        assert (status.name, status.channel, status.mode) == ("sms-a", "sms", "live")
        assert (status.in_flight, status.window) == (0, 50)
        assert status.detail == "All 1 binds up."
