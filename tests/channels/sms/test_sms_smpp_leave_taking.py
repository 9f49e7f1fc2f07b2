"""An SMSC that goes, in good order or not: what it had answered counts, and nobody is left in doubt by our haste."""

import asyncio
import socket
import struct

import pytest

from channels.contract import Accepted, InDoubt, NotSent
from channels.sms.segments import prepare
from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.codec import Decoder, encode
from channels.sms.smpp.ids import IdBase
from channels.sms.smpp.pdu import Bind, BindResponse, SubmitSm, SubmitSmResponse, Unbind
from channels.sms.smpp.settings import SmppSettings
from loadtest.sinks.smsc import SmscOptions, SmscSink
from tests.channels.conformance import Inbox, answers, now, outcomes, running
from tests.channels.conformance import until as eventually
from tests.channels.loops import on_both_loops
from tests.channels.sms.conftest import an_outgoing

LONG = prepare("Alerte BIN. Voiture suspecte, " * 14 + "appelez le 112.")


def number(n: int) -> str:
    return f"+3247{n:07}"


async def test_an_smsc_that_unbinds_is_heard_out_and_everybody_has_the_message_once(
    open_account, outgoing, until
) -> None:
    async with SmscSink(SmscOptions(answer_delay_s=0.2)) as smsc, open_account(smsc.port) as account:
        sending = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(8)]))
        await until(lambda: len(smsc.parts) == 8)
        smsc.send(Unbind(sequence=9))
        told = await sending
        await until(lambda: len(account.receipts) == 8)
        await until(lambda: smsc.counts["binds"] == 2)

        assert told == [Accepted((part.id,)) for part in smsc.parts]
        assert smsc.counts["acknowledged"] == 8, "receipts are taken to the last"
        assert smsc.counts["other"] == 1, "its unbind was answered"


async def test_nothing_more_is_submitted_to_an_smsc_that_takes_its_leave(open_account, outgoing, until) -> None:
    async with SmscSink(SmscOptions(answer_delay_s=0.2)) as smsc, open_account(smsc.port, window=4) as account:
        sending = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(8)]))
        await until(lambda: len(smsc.parts) == 4)
        smsc.send(Unbind(sequence=9))
        told = await sending

        assert [type(outcome) for outcome in told] == [Accepted] * 4 + [NotSent] * 4
        assert len(smsc.parts) == 4


async def test_what_has_not_begun_leaves_on_the_bind_that_stays(open_account, outgoing, until) -> None:
    options = SmscOptions(answer_delay_s=0.1)
    async with SmscSink(options) as smsc, open_account(smsc.port, binds=2, window=4) as account:
        sending = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(30)]))
        await until(lambda: smsc.parts)
        smsc.links[0].transport.write(encode(Unbind(sequence=9)))
        told = await sending

        assert all(isinstance(outcome, Accepted) for outcome in told)
        assert len(smsc.messages) == 30


async def test_an_smsc_that_unbinds_and_owes_answers_is_waited_for_so_long_and_no_longer(
    open_account, outgoing, until
) -> None:
    async with (
        SmscSink(SmscOptions(silent=True)) as smsc,
        open_account(smsc.port, drain_timeout_s=0.3, answer_timeout_s=30.0) as account,
    ):
        sending = asyncio.create_task(account.send(*[outgoing(number=number(n)) for n in range(3)]))
        await until(lambda: len(smsc.parts) == 3)
        smsc.send(Unbind(sequence=9))
        told = await sending

        assert [type(outcome) for outcome in told] == [InDoubt] * 3
        await until(lambda: smsc.counts["other"] == 1)


async def test_of_a_long_message_the_parts_taken_are_known_when_the_smsc_leaves(open_account, outgoing, until) -> None:
    async with SmscSink() as smsc, open_account(smsc.port) as account:
        at = now()
        sending = asyncio.create_task(account.send(outgoing(LONG, due=[at, at + 30, at + 60])))
        await until(lambda: smsc.parts)
        smsc.send(Unbind(sequence=9))
        [outcome] = await sending

        assert isinstance(outcome, InDoubt)
        assert outcome.refs == (smsc.parts[0].id,)


@on_both_loops
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_answers_that_came_before_the_connection_broke_are_read_though_a_write_failed_first(reset: bool) -> None:
    """The SMSC answers and hangs up; before we have read that, we write, which fails."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    settings = SmppSettings(
        host="127.0.0.1", port=listener.getsockname()[1], system_id="plp", source_address="PLP", binds=1, window=4
    )
    carrier = SmppCarrier("smsc", settings)
    loop = asyncio.get_running_loop()

    async def hang_up_after_four() -> None:
        peer, _ = await loop.sock_accept(listener)
        decoder, answers = Decoder(), b""
        while answers.count(b"id-") < 4:
            for pdu in decoder.feed(await loop.sock_recv(peer, 65_536)):
                if isinstance(pdu, Bind):
                    await loop.sock_sendall(peer, encode(BindResponse(command=pdu.command, sequence=pdu.sequence)))
                elif isinstance(pdu, SubmitSm):
                    answers += encode(SubmitSmResponse(sequence=pdu.sequence, message_id=f"id-{pdu.sequence}"))
        peer.setblocking(True)
        peer.sendall(answers)
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        for session in list(carrier._submitter._sessions):  # what a busy loop does before it comes to read
            for _ in range(3):
                session._transport.write(b"\0\0\0\x10\0\0\0\x15\0\0\0\0\0\0\0\x63")

    peer = asyncio.create_task(hang_up_after_four())
    async with running(carrier, Inbox()):
        told = await outcomes(carrier, [an_outgoing(number=number(n)) for n in range(4)])
        await peer
    listener.close()

    assert sorted(type(outcome).__name__ for _, outcome in told) == ["Accepted"] * 4


async def test_an_answer_that_comes_late_is_told_with_the_receipts(open_account, outgoing, until) -> None:
    options = SmscOptions(answer_delay_s=0.5, receipts="none", id_form="hex")
    bases = {"id_base_response": IdBase.HEX, "id_base_receipt": IdBase.DEC}
    async with (
        SmscSink(options) as smsc,
        open_account(smsc.port, answer_timeout_s=0.2, timeouts_to_recycle=100, **bases) as account,
    ):
        [outcome] = await account.send(outgoing(number=number(7)))
        await until(lambda: account.receipts)

        assert isinstance(outcome, InDoubt)
        [receipt] = account.receipts
        assert (receipt.state, receipt.answers, receipt.destination) == ("pending", f"t.{number(7)[1:]}", number(7))
        assert receipt.ref == str(int(smsc.parts[0].id, 16)), "in the form that receipts will use"


async def test_a_late_answer_to_each_part_of_a_long_message_is_a_receipt_each(open_account, outgoing, until) -> None:
    options = SmscOptions(answer_delay_s=0.5, receipts="none")
    async with (
        SmscSink(options) as smsc,
        open_account(smsc.port, answer_timeout_s=0.2, timeouts_to_recycle=100) as account,
    ):
        at = now()
        [outcome] = await account.send(outgoing(LONG, due=[at, at + 0.05, at + 0.1]))
        await until(lambda: len(account.receipts) == 3)

        assert isinstance(outcome, InDoubt)
        assert [receipt.ref for receipt in account.receipts] == [part.id for part in smsc.parts]
        assert {receipt.answers for receipt in account.receipts} == {"t.32477123456"}


async def test_answers_after_the_outcome_was_told_lose_no_id(open_account, outgoing, until) -> None:
    """The first part's answer was late, the others came in time for themselves; and nobody wants the outcome."""
    async with (
        SmscSink(SmscOptions(answer_delay_s=0.3, receipts="none")) as smsc,
        open_account(smsc.port, timeouts_to_recycle=100) as account,
    ):
        sending = answers(account.carrier, [outgoing(number=number(n)) for n in range(3)])
        waiting = asyncio.create_task(anext(sending))
        await until(lambda: len(smsc.parts) == 3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await sending.aclose()
        await until(lambda: len(account.receipts) == 3)

        assert {receipt.ref for receipt in account.receipts} == {part.id for part in smsc.parts}


async def test_a_late_refusal_is_no_news(open_account, outgoing, until) -> None:
    options = SmscOptions(answer_delay_s=0.3, fail_every=1)
    async with (
        SmscSink(options) as smsc,
        open_account(smsc.port, answer_timeout_s=0.1, timeouts_to_recycle=100) as account,
    ):
        [outcome] = await account.send(outgoing())
        await asyncio.sleep(0.4)

        assert isinstance(outcome, InDoubt)
        assert account.receipts == []
        assert smsc.counts["binds"] == 1


async def test_a_late_answer_that_could_not_be_kept_is_offered_again() -> None:
    inbox = Inbox(refusals=1)
    async with SmscSink(SmscOptions(answer_delay_s=0.4, receipts="none")) as smsc:
        settings = SmppSettings(
            host="127.0.0.1", port=smsc.port, system_id="plp", source_address="PLP", binds=1, answer_timeout_s=0.1
        )
        carrier = SmppCarrier("smsc", settings)
        async with running(carrier, inbox):
            await outcomes(carrier, [an_outgoing()])
            await eventually(lambda: inbox.kept)

        assert [receipt.ref for receipt in inbox.kept] == [smsc.parts[0].id]
        assert inbox.offered == 2


async def test_parts_offered_again_leave_within_the_contract(open_account, outgoing) -> None:
    """Their slots are used up: they wait for gaps of their own, and what has slots leaves so much later."""
    rate = 50
    async with (
        SmscSink(SmscOptions(fail_every=3, answer_delay_s=0.1, receipts="none")) as smsc,
        open_account(smsc.port, window=500, rate_per_s=rate, throttle_first_s=0.1) as account,
    ):
        at = now()
        slots = [at + n / rate for n in range(120)]
        group = [outgoing(LONG, number=number(n), due=slots[3 * n : 3 * n + 3]) for n in range(40)]
        told = await account.send(*group, within_s=30)

        times = [part.at_ns / 1e9 for part in smsc.parts]
        busiest = max(sum(start <= other < start + 1 for other in times) for start in times)
        assert len(smsc.parts) > 150, "many were offered again"
        assert busiest <= rate * 1.01 + 2, busiest
        assert sum(isinstance(outcome, Accepted) for outcome in told) > 10
