"""SMSCs that misbehave as real ones do: a real SMPP 3.4 server on 127.0.0.1, made of small habits.

A next case is a line: `OddSmsc(answer=refuses(0x0A))`, `OddSmsc(ids=one_for_all_parts, receipts=a_part(stat="X"))`.
Unlike `loadtest.sinks.smsc`, which counts and is quick, this one is as odd as it is told to be, and slow.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec

from channels.sms.smpp.codec import Decoder, encode
from channels.sms.smpp.pdu import (
    Bind,
    BindResponse,
    DeliverSm,
    DeliverSmResponse,
    EnquireLink,
    EnquireLinkResponse,
    Pdu,
    SubmitSm,
    SubmitSmResponse,
    Tag,
    Unbind,
    UnbindResponse,
)

Answer = Callable[[SubmitSm, int], int]
"""(what was submitted, its number from 0) -> command status; 0 takes it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One part that was taken, under this id."""

    submit: SubmitSm
    id: str
    part: int = 1
    total: int = 1


Ids = Callable[[SubmitSm, int, int], str]
"""(what was submitted, its part from 1, a number never given before) -> the id of the answer."""
Receipts = Callable[[Sequence[Taken]], Iterable[DeliverSm]]
"""The parts of a message that has been taken whole -> what is sent back, in this order."""


# ---- answers -----------------------------------------------------------------------------------------------------


def takes(_: SubmitSm, __: int) -> int:
    return 0


def refuses(status: int, *, to: str = "", first: int | None = None) -> Answer:
    """Everybody; or the numbers that begin so; or only so many of the first."""

    def answer(submit: SubmitSm, number: int) -> int:
        meant = submit.destination.startswith(to) and (first is None or number < first)
        return status if meant else 0

    return answer


# ---- ids ---------------------------------------------------------------------------------------------------------


def counted(_: SubmitSm, __: int, number: int) -> str:
    return str(number)


def one_for_all_parts(submit: SubmitSm, _: int, __: int) -> str:
    """By number and reference of the message: the octet of its header that all parts share."""
    return f"{submit.destination}-{submit.short_message[3] if submit.esm_class & 0x40 else 0}"


def mixed_case(_: SubmitSm, __: int, number: int) -> str:
    return f"SAR-{number:04d}-1eedf843"


# ---- receipts ----------------------------------------------------------------------------------------------------


def receipt(
    taken: Taken,
    *,
    stat: str = "DELIVRD",
    form: str = "id:{id} sub:001 dlvrd:001 submit date:2611261200 done date:2611261201 stat:{stat} err:000 text:x",
    esm_class: int = 0x04,
    before: bytes = b"",
    write_id: Callable[[str], str] = str,
    number: Callable[[str], str] = str,
    ton: int = 1,
    coding: int = 0,
    in_payload: bool = False,
    short_message: bytes | None = None,
) -> DeliverSm:
    """`number` and `ton`: how it writes whose it is; `before`: octets in front of the text."""
    text = form.format(id=write_id(taken.id), stat=stat)
    octets = before + text.encode("utf-16-be" if coding == 8 else "latin-1")
    return DeliverSm(
        source=number(taken.submit.destination),
        source_ton=ton,
        destination=taken.submit.source,
        esm_class=esm_class,
        data_coding=coding,
        short_message=(b"" if in_payload else octets) if short_message is None else short_message,
        tlvs=((Tag.MESSAGE_PAYLOAD, octets),) if in_payload else (),
    )


def a_part(**form: object) -> Receipts:
    """A receipt for each part."""
    return lambda parts: [receipt(part, **form) for part in parts]  # type: ignore[arg-type]


def for_the_whole(**form: object) -> Receipts:
    """One, that bears the id of the first part."""
    return lambda parts: [receipt(parts[0], **form)]  # type: ignore[arg-type]


def nothing(_: Sequence[Taken]) -> list[DeliverSm]:
    return []


# ---- the server --------------------------------------------------------------------------------------------------


@dataclass
class OddSmsc:
    """`async with OddSmsc(...) as smsc`. Habits may be changed while it runs."""

    answer: Answer = takes
    ids: Ids = counted
    receipts: Receipts = nothing
    receipts_first: bool = False
    """Receipts leave before the answer to the submit that completes their message."""
    receipt_delay_s: float = 0.0
    submits: list[SubmitSm] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    """Statuses of the answers to receipts."""
    port: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _sequences: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def begins_to_count_again(self) -> None:
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def numbers(self) -> list[str]:
        """To whom something was taken, a number a part."""
        return ["+" + taken.submit.destination for taken in self.taken]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        decoder, parts = Decoder(), dict[tuple[str, int], list[Taken]]()
        try:
            while octets := await reader.read(65_536):
                for pdu in decoder.feed(octets):
                    await self._heard(pdu, writer, parts)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _heard(self, pdu: Pdu, writer: asyncio.StreamWriter, parts: dict[tuple[str, int], list[Taken]]) -> None:
        match pdu:
            case Bind():
                self._say(writer, BindResponse(command=pdu.command, system_id="odd", sequence=pdu.sequence))
            case EnquireLink():
                self._say(writer, EnquireLinkResponse(sequence=pdu.sequence))
            case Unbind():
                self._say(writer, UnbindResponse(sequence=pdu.sequence))
            case SubmitSm():
                self._submitted(pdu, writer, parts)
            case DeliverSmResponse():
                self.acknowledged.append(pdu.status)
        await writer.drain()

    def _submitted(
        self, submit: SubmitSm, writer: asyncio.StreamWriter, parts: dict[tuple[str, int], list[Taken]]
    ) -> None:
        status = self.answer(submit, len(self.submits))
        self.submits.append(submit)
        if status:
            self._say(writer, SubmitSmResponse(status=status, sequence=submit.sequence))
            return
        has_header = submit.esm_class & 0x40
        reference, total, part = submit.short_message[3:6] if has_header else (0, 1, 1)
        taken = Taken(submit, self.ids(submit, part, next(self._numbers)), part, total)
        self.taken.append(taken)
        mine = parts.setdefault((submit.destination, reference), [])
        mine.append(taken)
        whole = len(mine) == total
        back = list(self.receipts(mine)) if whole else []
        if whole:
            del parts[submit.destination, reference]
        if self.receipts_first:
            self._send_receipts(back, writer)
        self._say(writer, SubmitSmResponse(message_id=taken.id, sequence=submit.sequence))
        if not self.receipts_first and back:
            if self.receipt_delay_s:
                asyncio.get_running_loop().call_later(self.receipt_delay_s, self._send_receipts, back, writer)
            else:
                self._send_receipts(back, writer)

    def _send_receipts(self, receipts: Iterable[DeliverSm], writer: asyncio.StreamWriter) -> None:
        if not writer.is_closing():
            for one in receipts:
                self._say(writer, msgspec.structs.replace(one, sequence=next(self._sequences)))

    def _say(self, writer: asyncio.StreamWriter, pdu: Pdu) -> None:
        writer.write(encode(pdu))
