"""A carrier in a process of its own, so that a test can make it stand still.

    python -m tests.channels.sender smpp PORT COUNT uvloop

says "up" once the carrier is, sends COUNT messages at once, and prints what became of them: one kind a line.
"""

import asyncio
import sys

import uvloop

from channels.contract import Carrier, Outgoing
from channels.email.carrier import SmtpCarrier
from channels.sms.segments import prepare
from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.settings import SmppSettings
from tests.channels.conformance import now, outcomes, running
from tests.channels.email.relay import mails, settings

PATIENCE_S = 0.6
"""How long each carrier waits for its peer."""


def smpp(port: int, count: int) -> tuple[Carrier, list[Outgoing]]:
    known = SmppSettings(
        host="127.0.0.1",
        port=port,
        system_id="plp",
        source_address="PLP",
        binds=1,
        window=count,
        answer_timeout_s=PATIENCE_S,
        enquire_link_s=PATIENCE_S / 2,
    )
    text = prepare("Alerte")
    due = (now(),)
    return SmppCarrier("smsc", known), [Outgoing(f"t.{n}", f"+3247{n:07}", "", text, due) for n in range(count)]


def smtp(port: int, count: int) -> tuple[Carrier, list[Outgoing]]:
    known = settings(
        port,
        connections=count,
        command_timeout_s=PATIENCE_S,
        answer_timeout_s=PATIENCE_S,
        queue_timeout_s=PATIENCE_S,
        keep_alive_s=PATIENCE_S / 2,
    )
    return SmtpCarrier("relay", known), mails(count)


async def main(kind: str, port: int, count: int) -> None:
    carrier, group = {"smpp": smpp, "smtp": smtp}[kind](port, count)
    async with running(carrier):
        print("up", flush=True)
        for _, outcome in await outcomes(carrier, group, patience_s=60):
            print(type(outcome).__name__, outcome, flush=True)
        print("connected" if carrier.room else carrier.status().detail, flush=True)


if __name__ == "__main__":
    factory = uvloop.new_event_loop if sys.argv[4] == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
