"""What a geocode says: which system its name means, and the value in that system's own form.

Pure. CAP leaves both open and Belgium has no profile, so several spellings of one system are in use (notes of
the peers: REFNIS, NIS, INS, refnis2019, the belgif vocabulary's addresses).
"""

import re

import msgspec

from gateway.directory.merged_municipalities import current
from gateway.directory.problem import TargetFault, TargetProblem, TargetSeverity
from gateway.directory.targets import GeocodeTarget

REFNIS = "REFNIS"
POSTCODE = "POSTCODE"
POLICEZONE = "POLICEZONE"
PLP = "PLP"
GROUP = "GROUP"

_ALIASES = {
    **dict.fromkeys(("REFNIS", "REFNIS2019", "REFNIS2025", "NIS", "NIS5", "NISCODE", "INS", "CODEINS"), REFNIS),
    **dict.fromkeys(("POSTCODE", "POSTALCODE", "CODEPOSTAL", "POSTLEITZAHL", "ZIP"), POSTCODE),
    **dict.fromkeys(("POLICEZONE", "POLITIEZONE", "ZONEDEPOLICE", "POLIZEIZONE", "PZ", "ZP"), POLICEZONE),
    **dict.fromkeys(("PLP", "BIN", "NIN", "RLP"), PLP),
    **dict.fromkeys(("GROUP", "GROEP", "GROUPE", "GRUPPE"), GROUP),
}
_FORMS = {REFNIS: re.compile(r"\d{5}"), POSTCODE: re.compile(r"[1-9]\d{3}"), POLICEZONE: re.compile(r"\d{4}")}
_BELGIF = re.compile(r"https?://vocab\.belgif\.be/auth/(refnis\d{4})(?:[/#](\d{5}))?[/#]?")


class AreaCode(msgspec.Struct, frozen=True):
    """A system of this list, or another in capitals, and a value in its form."""

    system: str
    value: str


def read_geocode(target: GeocodeTarget) -> tuple[AreaCode | None, tuple[TargetProblem, ...]]:
    """The code, and what there is to say about it. None: the value cannot be of its system."""
    system, value = _named(target.system.strip(), target.value.strip())
    form = _FORMS.get(system)
    if not value or (form is not None and not form.fullmatch(value)):
        text = f"“{target.value}” is not a value of {system}."
        return None, (TargetProblem(TargetFault.BAD_CODE, TargetSeverity.WARNING, subject_of(target), text),)
    if system == REFNIS and (now := current(value)) != value:
        text = f"The municipality {value} has become part of {now}: all of {now} is meant."
        return AreaCode(system, now), (
            TargetProblem(TargetFault.MERGED_CODE, TargetSeverity.WARNING, subject_of(target), text),
        )
    return AreaCode(system, value), ()


def system_of(name: str) -> str:
    """The system that a name means; another one is its own name in capitals."""
    plain = re.sub(r"[\s_.\-]", "", name).upper()
    return _ALIASES.get(plain, name.strip().upper())


def subject_of(target: GeocodeTarget) -> str:
    """How problems name a geocode."""
    return f"{target.system}={target.value}"


def _named(name: str, value: str) -> tuple[str, str]:
    """The system and the value of a pair in which either may be an address of the belgif vocabulary."""
    if (match := _BELGIF.fullmatch(value)) and match[2]:
        return REFNIS, match[2]
    if match := _BELGIF.fullmatch(name):
        return REFNIS, value
    return system_of(name), value
