"""What a command status (5.1.3) means for one message: taken, refused for good, later, slower, or
refused to us as such.

A table, and each account may have its own: operators disagree about what is permanent. Knows no session.
"""

from enum import Enum

NAMES = {
    0x01: "ESME_RINVMSGLEN",
    0x02: "ESME_RINVCMDLEN",
    0x03: "ESME_RINVCMDID",
    0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND",
    0x06: "ESME_RINVPRTFLG",
    0x07: "ESME_RINVREGDLVFLG",
    0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR",
    0x0B: "ESME_RINVDSTADR",
    0x0C: "ESME_RINVMSGID",
    0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD",
    0x0F: "ESME_RINVSYSID",
    0x14: "ESME_RMSGQFUL",
    0x15: "ESME_RINVSERTYP",
    0x33: "ESME_RINVNUMDESTS",
    0x34: "ESME_RINVDLNAME",
    0x40: "ESME_RINVDESTFLAG",
    0x42: "ESME_RINVSUBREP",
    0x43: "ESME_RINVESMCLASS",
    0x44: "ESME_RCNTSUBDL",
    0x45: "ESME_RSUBMITFAIL",
    0x48: "ESME_RINVSRCTON",
    0x49: "ESME_RINVSRCNPI",
    0x50: "ESME_RINVDSTTON",
    0x51: "ESME_RINVDSTNPI",
    0x53: "ESME_RINVSYSTYP",
    0x54: "ESME_RINVREPFLAG",
    0x55: "ESME_RINVNUMMSGS",
    0x58: "ESME_RTHROTTLED",
    0x61: "ESME_RINVSCHED",
    0x62: "ESME_RINVEXPIRY",
    0x63: "ESME_RINVDFTMSGID",
    0x64: "ESME_RX_T_APPN",
    0x65: "ESME_RX_P_APPN",
    0x66: "ESME_RX_R_APPN",
    0xC0: "ESME_RINVOPTPARSTREAM",
    0xC1: "ESME_ROPTPARNOTALLWD",
    0xC2: "ESME_RINVPARLEN",
    0xC3: "ESME_RMISSINGOPTPARAM",
    0xC4: "ESME_RINVOPTPARAMVAL",
    0xFE: "ESME_RDELIVERYFAILURE",
    0xFF: "ESME_RUNKNOWNERR",
}

PERMANENT = (0x01, 0x0B, 0x34, 0x44, 0x65, 0x66)
"""About the message or its recipient, if they are believed: many refuse everybody so (`gateway.dispatch.refusals`)."""
OURS = (
    *(0x02, 0x03, 0x05, 0x06, 0x07, 0x0A, 0x0D, 0x0E, 0x0F, 0x15, 0x33, 0x40, 0x42, 0x43, 0x48, 0x49),
    *(0x50, 0x51, 0x53, 0x54, 0x55, 0x61, 0x62, 0x63, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4),
)
"""About our account, our sender or our way of asking: no recipient can be at fault."""
TEMPORARY = (0x08, 0x14, 0x45, 0x64, 0xFE, 0xFF)
THROTTLE = (0x58,)
_NOT_BOUND = 0x04


class StatusVerdict(Enum):
    TAKEN = "taken"
    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    THROTTLE = "throttle"
    OURS = "ours"
    """The peer has something against us: it would refuse everybody."""
    NOT_BOUND = "not bound"
    """The peer has forgotten our bind: it took nothing, and the session is worth nothing."""


def verdicts(
    permanent: tuple[int, ...], ours: tuple[int, ...], temporary: tuple[int, ...], throttle: tuple[int, ...]
) -> dict[int, StatusVerdict]:
    """The table of an account; a status in two lists is the milder (throttle, temporary, ours, permanent).

    What stands in no list is temporary to those who ask: the message is known not taken, and may be yet.
    """
    return {
        _NOT_BOUND: StatusVerdict.NOT_BOUND,
        **dict.fromkeys(permanent, StatusVerdict.PERMANENT),
        **dict.fromkeys(ours, StatusVerdict.OURS),
        **dict.fromkeys(temporary, StatusVerdict.TEMPORARY),
        **dict.fromkeys(throttle, StatusVerdict.THROTTLE),
        0: StatusVerdict.TAKEN,
    }


def code(status: int) -> str:
    """As operators write it: 0x0000000B."""
    return f"0x{status:08X}"


def name(status: int) -> str:
    """The standard's name, or that it is the operator's own."""
    return NAMES.get(status, f"status {code(status)}, not in the standard")
