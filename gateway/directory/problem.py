"""What is wrong with targets, or worth saying about them: named, with a sentence, as values."""

from enum import StrEnum

import msgspec


class TargetSeverity(StrEnum):
    ERROR = "error"
    """Nothing may be sent on these targets."""
    WARNING = "warning"


class TargetFault(StrEnum):
    """What can be wrong with a target. The names are part of the API."""

    BAD_SHAPE = "bad_shape"
    REPAIRED_SHAPE = "repaired_shape"
    FLAT_SHAPE = "flat_shape"
    ONLY_BORDERS = "only_borders"
    UNKNOWN_SYSTEM = "unknown_system"
    BAD_CODE = "bad_code"
    MERGED_CODE = "merged_code"
    UNKNOWN_NETWORK = "unknown_network"
    UNKNOWN_GROUP = "unknown_group"
    BAD_ADDRESS = "bad_address"
    EMPTY_AREA = "empty_area"
    BEYOND_RIGHTS = "beyond_rights"
    WHOLE_ZONE = "whole_zone"
    WITHOUT_TERRITORY = "without_territory"
    NOBODY = "nobody"
    UNREACHABLE = "unreachable"


class TargetProblem(msgspec.Struct, frozen=True):
    """`subject` is what it is about: an area's description, SYSTEM=value, a network's code."""

    fault: TargetFault
    severity: TargetSeverity
    subject: str
    text: str
