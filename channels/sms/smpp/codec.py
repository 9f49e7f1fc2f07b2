"""Between SMPP units and octets, sans I/O.

A frame whose body cannot be read is still a value (`Unread`), for the sequence number in its header says whom to
answer; only a length that no frame can have is the end of a stream. Knows no session and no meaning of ids.
"""

import struct
from collections.abc import Callable
from datetime import UTC, datetime

from channels.sms.smpp.pdu import (
    GENERIC_NACK,
    RESPONSE,
    Bind,
    BindResponse,
    CommandId,
    DataSm,
    DataSmResponse,
    DeliverSm,
    DeliverSmResponse,
    EnquireLink,
    EnquireLinkResponse,
    GenericNack,
    MessageResponse,
    Pdu,
    ProtocolError,
    ShortMessage,
    SubmitSm,
    SubmitSmResponse,
    Tlvs,
    Unbind,
    UnbindResponse,
    Unread,
)

HEADER = struct.Struct(">IIII")  # length, command, status, sequence (3.2)
MIN_LENGTH, MAX_LENGTH = 16, 65_536  # 64 kB is our bound, the standard has none


class Decoder:
    """Cuts a stream into units, whatever the pieces in which it comes."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> list[Pdu]:
        """The units completed by these octets. Raises ProtocolError, after which the stream is over."""
        self.add(data)
        return self.take()

    def add(self, data: bytes) -> None:
        """Octets to be read by `take`."""
        rest = self._data[self._at :]
        self._data, self._at = rest + data if rest else bytes(data), 0

    @property
    def is_ripe(self) -> bool:
        """Whether `take` has something to give, or to raise."""
        left = len(self._data) - self._at
        if left < 4:
            return False
        length = self._length()
        return left >= length or not MIN_LENGTH <= length <= MAX_LENGTH

    def take(self, most: int | None = None) -> list[Pdu]:
        """The next whole units, `most` of them at most. Raises ProtocolError, after which the stream is over."""
        pdus: list[Pdu] = []
        end = len(self._data)
        while end - self._at >= 4 and (most is None or len(pdus) < most):
            length = self._length()
            if not MIN_LENGTH <= length <= MAX_LENGTH:
                raise ProtocolError(f"a unit of {length} octets", tuple(pdus))
            if end - self._at < length:
                break
            pdus.append(decode(self._data[self._at : self._at + length]))
            self._at += length
        if self._at == end:
            self._data, self._at = b"", 0
        return pdus

    def _length(self) -> int:
        return int.from_bytes(self._data[self._at : self._at + 4], "big")


def decode(frame: bytes) -> Pdu:
    """One whole frame, its length right. Never raises on a body: that becomes `Unread`."""
    _, command, status, sequence = HEADER.unpack_from(frame)
    reader = _READERS.get(command)
    if reader is None:
        return Unread(status=status, sequence=sequence, command=command, body=frame[16:])
    try:
        return reader(status, sequence, _Body(frame))
    except _Short as exc:
        return Unread(status=status, sequence=sequence, command=command, body=frame[16:], problem=f"no end of {exc}")


def encode(pdu: Pdu) -> bytes:
    """The frame of a unit. Raises ValueError for a value that its field cannot hold."""
    command, body = _WRITERS[type(pdu)](pdu)
    length = 16 + len(body)
    if length > MAX_LENGTH:
        raise ValueError(f"a unit of {length} octets")
    try:
        return HEADER.pack(length, command, pdu.status, pdu.sequence) + body
    except struct.error as exc:
        raise ValueError("status and sequence are 32-bit numbers") from exc


def absolute_time(at_ms: int) -> str:
    """An instant (UTC, milliseconds) as SMPP writes it, to the second below (7.1.1)."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%y%m%d%H%M%S") + "000+"


def c_string(value: str, limit: int, name: str) -> bytes:
    """A C-octet string of at most `limit` octets, its NUL included. Raises ValueError."""
    octets = value.encode("latin-1", "strict")
    if len(octets) >= limit or b"\0" in octets:
        raise ValueError(f"{name}: at most {limit - 1} characters, none of them NUL")
    return octets + b"\0"


class _Short(Exception):
    """The body ends before this field does."""


class _Body:
    """A cursor over a body; strings as Latin-1, so that no octet is ever lost or refused."""

    __slots__ = ("at", "data")

    def __init__(self, frame: bytes) -> None:
        self.data = frame
        self.at = 16

    def string(self, name: str) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise _Short(name)
        value = self.data[self.at : end].decode("latin-1")
        self.at = end + 1
        return value

    def last_string(self) -> str:
        """A string that may lack its NUL or be missing, as some peers answer."""
        end = self.data.find(b"\0", self.at)
        end = len(self.data) if end < 0 else end
        value = self.data[self.at : end].decode("latin-1")
        self.at = min(end + 1, len(self.data))
        return value

    def numbers(self, count: int, name: str) -> bytes:
        value = self.data[self.at : self.at + count]
        if len(value) < count:
            raise _Short(name)
        self.at += count
        return value

    def tlvs(self) -> Tlvs:
        """What is left, as optional parameters; an incomplete last one is dropped (peers pad)."""
        data, at, out = self.data, self.at, []
        while at + 4 <= len(data):
            tag, length = (
                int.from_bytes(data[at : at + 2], "big"),
                int.from_bytes(data[at + 2 : at + 4], "big"),
            )
            at += 4 + length
            if at > len(data):
                break
            out.append((tag, data[at - length : at]))
        return tuple(out)


Reader = Callable[[int, int, _Body], Pdu]
Writer = Callable[..., tuple[int, bytes]]


def _read_bind(command: CommandId) -> Reader:
    def read(status: int, sequence: int, body: _Body) -> Pdu:
        system_id, password = body.string("system_id"), body.string("password")
        system_type = body.string("system_type")
        version, ton, npi = body.numbers(3, "interface_version")
        return Bind(
            status=status,
            sequence=sequence,
            command=command,
            system_id=system_id,
            password=password,
            system_type=system_type,
            interface_version=version,
            ton=ton,
            npi=npi,
            address_range=body.last_string(),
        )

    return read


def _read_bind_response(command: CommandId) -> Reader:
    def read(status: int, sequence: int, body: _Body) -> Pdu:
        system_id = body.last_string()
        return BindResponse(status=status, sequence=sequence, command=command, system_id=system_id, tlvs=body.tlvs())

    return read


def _read_message(kind: type[ShortMessage]) -> Reader:
    def read(status: int, sequence: int, body: _Body) -> Pdu:
        service_type = body.string("service_type")
        source_ton, source_npi = body.numbers(2, "source_addr_ton")
        source = body.string("source_addr")
        destination_ton, destination_npi = body.numbers(2, "dest_addr_ton")
        destination = body.string("destination_addr")
        esm_class, protocol_id, priority = body.numbers(3, "esm_class")
        schedule, validity = body.string("schedule_delivery_time"), body.string("validity_period")
        registered, replace, coding, default_id, length = body.numbers(5, "registered_delivery")
        return kind(
            status=status,
            sequence=sequence,
            service_type=service_type,
            source_ton=source_ton,
            source_npi=source_npi,
            source=source,
            destination_ton=destination_ton,
            destination_npi=destination_npi,
            destination=destination,
            esm_class=esm_class,
            protocol_id=protocol_id,
            priority=priority,
            schedule=schedule,
            validity=validity,
            registered_delivery=registered,
            replace=replace,
            data_coding=coding,
            default_message_id=default_id,
            short_message=body.numbers(length, "short_message"),
            tlvs=body.tlvs(),
        )

    return read


def _read_data(status: int, sequence: int, body: _Body) -> Pdu:
    service_type = body.string("service_type")
    source_ton, source_npi = body.numbers(2, "source_addr_ton")
    source = body.string("source_addr")
    destination_ton, destination_npi = body.numbers(2, "dest_addr_ton")
    destination = body.string("destination_addr")
    esm_class, registered, coding = body.numbers(3, "esm_class")
    return DataSm(
        status=status,
        sequence=sequence,
        service_type=service_type,
        source_ton=source_ton,
        source_npi=source_npi,
        source=source,
        destination_ton=destination_ton,
        destination_npi=destination_npi,
        destination=destination,
        esm_class=esm_class,
        registered_delivery=registered,
        data_coding=coding,
        tlvs=body.tlvs(),
    )


def _read_message_response(kind: type[MessageResponse]) -> Reader:
    def read(status: int, sequence: int, body: _Body) -> Pdu:
        message_id = body.last_string()
        return kind(status=status, sequence=sequence, message_id=message_id, tlvs=body.tlvs())

    return read


def _read_bare(kind: type[Pdu]) -> Reader:
    return lambda status, sequence, body: kind(status=status, sequence=sequence)


def _write_bind(pdu: Bind) -> tuple[int, bytes]:
    # 4.1.1 gives the password 9 octets; operators hand out longer ones, and a cut password is a wrong one.
    return pdu.command, (
        c_string(pdu.system_id, 65, "system_id")
        + c_string(pdu.password, 65, "password")
        + c_string(pdu.system_type, 65, "system_type")
        + bytes((pdu.interface_version, pdu.ton, pdu.npi))
        + c_string(pdu.address_range, 65, "address_range")
    )


def _write_bind_response(pdu: BindResponse) -> tuple[int, bytes]:
    body = c_string(pdu.system_id, 65, "system_id") + _tlvs(pdu.tlvs)
    return pdu.command | RESPONSE, body


def _write_message(command: CommandId) -> Writer:
    def write(pdu: ShortMessage) -> tuple[int, bytes]:
        message = pdu.short_message
        if len(message) > 255:
            raise ValueError("short_message: at most 255 octets; use message_payload")
        return command, (
            c_string(pdu.service_type, 65, "service_type")
            + bytes((pdu.source_ton, pdu.source_npi))
            + c_string(pdu.source, 65, "source_addr")
            + bytes((pdu.destination_ton, pdu.destination_npi))
            + c_string(pdu.destination, 65, "destination_addr")
            + bytes((pdu.esm_class, pdu.protocol_id, pdu.priority))
            + c_string(pdu.schedule, 17, "schedule_delivery_time")
            + c_string(pdu.validity, 17, "validity_period")
            + bytes((pdu.registered_delivery, pdu.replace, pdu.data_coding, pdu.default_message_id, len(message)))
            + message
            + _tlvs(pdu.tlvs)
        )

    return write


def _write_data(pdu: DataSm) -> tuple[int, bytes]:
    return CommandId.DATA_SM, (
        c_string(pdu.service_type, 65, "service_type")
        + bytes((pdu.source_ton, pdu.source_npi))
        + c_string(pdu.source, 65, "source_addr")
        + bytes((pdu.destination_ton, pdu.destination_npi))
        + c_string(pdu.destination, 65, "destination_addr")
        + bytes((pdu.esm_class, pdu.registered_delivery, pdu.data_coding))
        + _tlvs(pdu.tlvs)
    )


def _write_message_response(command: CommandId) -> Writer:
    def write(pdu: MessageResponse) -> tuple[int, bytes]:
        if pdu.status and not pdu.message_id and not pdu.tlvs:
            return command | RESPONSE, b""  # 4.4.2: no body with an error
        return command | RESPONSE, c_string(pdu.message_id, 255, "message_id") + _tlvs(pdu.tlvs)

    return write


def _write_bare(command: int) -> Writer:
    return lambda pdu: (command, b"")


def _write_unread(pdu: Unread) -> tuple[int, bytes]:
    return pdu.command, pdu.body


def _tlvs(tlvs: Tlvs) -> bytes:
    try:
        return b"".join([struct.pack(">HH", tag, len(value)) + value for tag, value in tlvs])
    except struct.error as exc:
        raise ValueError("an optional parameter holds at most 65,535 octets") from exc


_BINDS = (CommandId.BIND_TRANSCEIVER, CommandId.BIND_RECEIVER, CommandId.BIND_TRANSMITTER)

_READERS: dict[int, Reader] = {
    **{command: _read_bind(command) for command in _BINDS},
    **{command | RESPONSE: _read_bind_response(command) for command in _BINDS},
    CommandId.SUBMIT_SM: _read_message(SubmitSm),
    CommandId.DELIVER_SM: _read_message(DeliverSm),
    CommandId.DATA_SM: _read_data,
    CommandId.SUBMIT_SM | RESPONSE: _read_message_response(SubmitSmResponse),
    CommandId.DELIVER_SM | RESPONSE: _read_message_response(DeliverSmResponse),
    CommandId.DATA_SM | RESPONSE: _read_message_response(DataSmResponse),
    CommandId.ENQUIRE_LINK: _read_bare(EnquireLink),
    CommandId.ENQUIRE_LINK | RESPONSE: _read_bare(EnquireLinkResponse),
    CommandId.UNBIND: _read_bare(Unbind),
    CommandId.UNBIND | RESPONSE: _read_bare(UnbindResponse),
    GENERIC_NACK: _read_bare(GenericNack),
}
_WRITERS: dict[type[Pdu], Writer] = {
    Bind: _write_bind,
    BindResponse: _write_bind_response,
    SubmitSm: _write_message(CommandId.SUBMIT_SM),
    DeliverSm: _write_message(CommandId.DELIVER_SM),
    DataSm: _write_data,
    SubmitSmResponse: _write_message_response(CommandId.SUBMIT_SM),
    DeliverSmResponse: _write_message_response(CommandId.DELIVER_SM),
    DataSmResponse: _write_message_response(CommandId.DATA_SM),
    EnquireLink: _write_bare(CommandId.ENQUIRE_LINK),
    EnquireLinkResponse: _write_bare(CommandId.ENQUIRE_LINK | RESPONSE),
    Unbind: _write_bare(CommandId.UNBIND),
    UnbindResponse: _write_bare(CommandId.UNBIND | RESPONSE),
    GenericNack: _write_bare(GENERIC_NACK),
    Unread: _write_unread,
}
