"""Under every kind of trouble at once, the carrier's word and the SMSC's books agree, message by message."""

import asyncio
import random
import time

import msgspec
import pytest

from channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Permission, Refused, Throttled
from channels.sms.segments import prepare
from channels.sms.smpp.pdu import Unbind
from loadtest.sinks.smsc import SmscOptions, SmscSink
from tests.channels.conformance import answers

SHORT = prepare("Alerte")
LONG = prepare("Voiture suspecte, appelez le 112. " * 10)


@pytest.mark.parametrize("seed", range(6))
async def test_what_the_carrier_says_is_what_the_smsc_saw(open_account, outgoing, seed: int) -> None:
    chance = random.Random(seed)
    outcomes: dict[str, Outcome] = {}
    ends_ns: dict[str, float] = {}

    async def send_groups(account, worker: int) -> None:
        for turn in range(12):
            permission = Permission(asyncio.get_running_loop().time() + chance.choice([0.005, 0.02, 60]))
            numbers = [f"+3247{worker:02}{turn:02}{n:03}" for n in range(chance.randrange(1, 30))]
            group = [
                msgspec.structs.replace(
                    outgoing(
                        chance.choice([SHORT, LONG]),
                        number=number,
                        due=asyncio.get_running_loop().time() + chance.random() / 50,
                    ),
                    permission=permission,
                )
                for number in numbers
            ]
            left_s = permission.not_after - asyncio.get_running_loop().time()
            ends_ns.update(dict.fromkeys(numbers, time.time_ns() + left_s * 1e9))
            async with asyncio.timeout(10):
                async for index, outcome in answers(account.carrier, group):
                    assert numbers[index] not in outcomes
                    outcomes[numbers[index]] = outcome
            assert all(number in outcomes for number in numbers)
            await asyncio.sleep(chance.random() / 50)

    async def make_trouble(smsc: SmscSink) -> None:
        while True:
            await asyncio.sleep(chance.random() / 20)
            smsc.options = chance.choice(
                [
                    SmscOptions(),
                    SmscOptions(answer_delay_s=0.01, receipts="early"),
                    SmscOptions(throttle_every=7),
                    SmscOptions(fail_every=5),
                    SmscOptions(refuse_suffix="1"),
                    SmscOptions(silent=True),
                ]
            )
            if chance.random() < 0.4:
                smsc.drop(half=chance.random() < 0.5)
            elif chance.random() < 0.2:
                smsc.send(Unbind(sequence=9))

    async with (
        SmscSink() as smsc,
        open_account(
            smsc.port, binds=2, window=20, answer_timeout_s=0.3, throttle_first_s=0.01, throttle_longest_s=0.05
        ) as account,
    ):
        trouble = asyncio.create_task(make_trouble(smsc))
        await asyncio.gather(*[send_groups(account, worker) for worker in range(8)])
        trouble.cancel()
        await asyncio.gather(trouble, return_exceptions=True)
        assert account.carrier.status().in_flight == 0

    shown: dict[str, int] = {}
    for message in smsc.messages:
        shown[message.destination] = shown.get(message.destination, 0) + 1
    touched = {part.destination for part in smsc.parts}
    taken = {part.destination for part in smsc.parts if part.status == 0}
    ids = {part.id for part in smsc.parts}
    for number, outcome in outcomes.items():
        digits = number[1:]
        assert shown.get(digits, 0) <= 1, "nobody is shown a message twice by one attempt"
        match outcome:
            case Accepted(refs=refs):
                assert shown.get(digits) == 1
                assert set(refs) <= ids
            case NotSent(withdrawn=False):
                assert digits not in touched
            case NotSent() | Throttled() | Deferred():  # a withdrawn one may have had each part sent back
                assert digits not in taken
            case InDoubt(code="cut", refs=refs):
                assert set(refs) <= ids
                assert digits not in shown
            case Refused() | InDoubt():
                pass
    for part in smsc.parts:
        assert part.at_ns < ends_ns[f"+{part.destination}"] + 1e9, "nothing leaves after the end of its permission"
    kinds = {type(outcome) for outcome in outcomes.values()}
    assert Accepted in kinds
    assert len(kinds) > 1, "there was no trouble at all"
