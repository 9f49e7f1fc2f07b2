"""SMPP 3.4 protocol data units as values (SMPP v3.4 issue 1.2).

Knows what the units hold, not how they are written (`codec`), nor when they are sent.
"""

from enum import IntEnum

import msgspec

LAST_SEQUENCE = 0x7FFFFFFF  # 5.1.4

Tlvs = tuple[tuple[int, bytes], ...]


class CommandId(IntEnum):
    """Command ids of requests (5.1.2.1); a response has the high bit set besides."""

    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    BIND_TRANSCEIVER = 0x09
    ENQUIRE_LINK = 0x15
    DATA_SM = 0x103


RESPONSE = 0x80000000
GENERIC_NACK = 0x80000000


class CommandStatus(IntEnum):
    """The command statuses that somebody here sets or tells apart (5.1.3)."""

    OK = 0x00
    INVALID_LENGTH = 0x02
    INVALID_COMMAND = 0x03
    NOT_BOUND = 0x04
    ALREADY_BOUND = 0x05
    SYSTEM_ERROR = 0x08
    INVALID_DESTINATION = 0x0B
    BIND_FAILED = 0x0D
    INVALID_PASSWORD = 0x0E
    INVALID_SYSTEM_ID = 0x0F
    QUEUE_FULL = 0x14
    THROTTLED = 0x58
    TEMPORARY_RECEIVER_ERROR = 0x64


class Tag(IntEnum):
    """The optional parameters that are read here (5.3.2); all others are kept as they came."""

    RECEIPTED_MESSAGE_ID = 0x001E
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427


class ProtocolError(Exception):
    """What came is not SMPP. `before` holds the whole units that stood in front of the fault."""

    def __init__(self, text: str, before: "tuple[Pdu, ...]" = ()) -> None:
        super().__init__(text)
        self.before = before


class Pdu(msgspec.Struct, frozen=True, kw_only=True):
    """What every unit has."""

    status: int = 0
    sequence: int = 0


class Bind(Pdu, frozen=True, kw_only=True):
    command: CommandId = CommandId.BIND_TRANSCEIVER
    system_id: str = ""
    password: str = ""
    system_type: str = ""
    interface_version: int = 0x34
    ton: int = 0
    npi: int = 0
    address_range: str = ""

    def __repr__(self) -> str:
        return f"Bind({self.command.name}, system_id={self.system_id!r}, sequence={self.sequence})"


class BindResponse(Pdu, frozen=True, kw_only=True):
    command: CommandId = CommandId.BIND_TRANSCEIVER
    system_id: str = ""
    tlvs: Tlvs = ()


class ShortMessage(Pdu, frozen=True, kw_only=True):
    """The body that submit_sm and deliver_sm share (4.4.1, 4.6.1)."""

    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority: int = 0
    schedule: str = ""
    validity: str = ""
    registered_delivery: int = 0
    replace: int = 0
    data_coding: int = 0
    default_message_id: int = 0
    short_message: bytes = b""
    tlvs: Tlvs = ()

    @property
    def user_data(self) -> bytes:
        """The short message, or the message_payload that stands in for it (5.3.2.32)."""
        return self.short_message or dict(self.tlvs).get(Tag.MESSAGE_PAYLOAD, b"")

    @property
    def texts(self) -> tuple[bytes, ...]:
        """Every place where some of the text stands: careless peers put a blank into the one and the text into the
        other."""
        return tuple(filter(None, (self.short_message, dict(self.tlvs).get(Tag.MESSAGE_PAYLOAD, b""))))


class SubmitSm(ShortMessage, frozen=True, kw_only=True):
    pass


class DeliverSm(ShortMessage, frozen=True, kw_only=True):
    pass


class DataSm(Pdu, frozen=True, kw_only=True):
    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: str = ""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    tlvs: Tlvs = ()

    @property
    def user_data(self) -> bytes:
        return dict(self.tlvs).get(Tag.MESSAGE_PAYLOAD, b"")

    @property
    def texts(self) -> tuple[bytes, ...]:
        return (self.user_data,) if self.user_data else ()


class MessageResponse(Pdu, frozen=True, kw_only=True):
    """submit_sm_resp, deliver_sm_resp, data_sm_resp."""

    message_id: str = ""
    tlvs: Tlvs = ()


class SubmitSmResponse(MessageResponse, frozen=True, kw_only=True):
    pass


class DeliverSmResponse(MessageResponse, frozen=True, kw_only=True):
    pass


class DataSmResponse(MessageResponse, frozen=True, kw_only=True):
    pass


class EnquireLink(Pdu, frozen=True, kw_only=True):
    pass


class EnquireLinkResponse(Pdu, frozen=True, kw_only=True):
    pass


class Unbind(Pdu, frozen=True, kw_only=True):
    pass


class UnbindResponse(Pdu, frozen=True, kw_only=True):
    pass


class GenericNack(Pdu, frozen=True, kw_only=True):
    pass


class Unread(Pdu, frozen=True, kw_only=True):
    """A whole frame of an unknown command, or with a body that breaks its own rules (`problem`)."""

    command: int
    body: bytes
    problem: str = ""
