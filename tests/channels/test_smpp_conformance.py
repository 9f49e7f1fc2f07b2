"""An SMPP account keeps the carrier contract, in front of an SMSC that speaks the protocol on this machine."""

import asyncio
import time
from contextlib import asynccontextmanager

from channels.contract import Carrier, Outgoing
from channels.sms import segments
from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.settings import SmppSettings
from loadtest.sinks.smsc import SmscOptions, SmscSink
from tests.channels.conformance import CarrierContract, in_its_own_process

LONG = "Inbraak in de Dorpsstraat, sluit uw deuren en bel 101 als u iets verdachts ziet. "


class SmppBench:
    reports = True
    longest_units = 3

    def __init__(self, sink: SmscSink, password: str = "") -> None:
        self.sink = sink
        self.settings = SmppSettings(
            host="127.0.0.1",
            port=sink.port,
            system_id="tocsin",
            password=password,
            source_address="TOCSIN",
            binds=2,
            window=50,
            answer_timeout_s=0.5,
            drain_timeout_s=0.3,
        )
        self.carrier: Carrier = SmppCarrier("smsc", self.settings)
        self._behind_s = time.time() - asyncio.get_running_loop().time()

    def message(self, number, *, due, expires_ms=None, address=None):
        content = segments.prepare(LONG[:80] if len(due) == 1 else LONG * 2 * (len(due) - 1))
        assert content.units == len(due)
        return Outgoing(
            reference=f"test-{number}",
            address=address or f"+324770{number:05}",
            name="Jan",
            content=content,
            due=tuple(due),
            expires_ms=expires_ms,
        )

    def arrivals(self):
        return [(f"+{part.destination.lstrip('+')}", part.at_ns / 1e9 - self._behind_s) for part in self.sink.parts]


class TestSmpp(CarrierContract):
    @asynccontextmanager
    async def bench(self, *, silent=False):
        async with SmscSink(SmscOptions(silent=silent, receipt_repeat_s=0.05)) as sink:
            yield SmppBench(sink)


class TestSmppInItsOwnProcess(CarrierContract):
    @asynccontextmanager
    async def bench(self, *, silent=False):
        async with SmscSink(SmscOptions(silent=silent, receipt_repeat_s=0.05)) as sink:
            bench = SmppBench(sink)
            async with in_its_own_process(bench, bench.settings):
                yield bench
