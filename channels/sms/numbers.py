"""A telephone number as people write it, made E.164 or refused with a reason.

Knows numbering plans (libphonenumber) and the ways in which a register goes wrong; knows no operator: numbers
are ported, so a prefix says nothing about who carries them.
"""

import re
import unicodedata
from enum import StrEnum

import msgspec
import phonenumbers
from phonenumbers import PhoneNumberType


class PhoneKind(StrEnum):
    MOBILE = "mobile"
    LANDLINE = "landline"
    EITHER = "either"
    """The plan does not tell mobile from landline (North America)."""
    VOIP = "voip"


class RefusalReason(StrEnum):
    EMPTY = "empty"
    LETTERS = "letters"
    SEVERAL = "several_numbers"
    EXTENSION = "extension"
    INVALID = "invalid"
    PREMIUM = "premium"
    SPECIAL = "special"
    """Toll-free, shared cost, universal access, pagers, voice mail: answered by no member at home."""


class Phone(msgspec.Struct, frozen=True):
    """A number that may be dialled."""

    e164: str
    kind: PhoneKind

    @property
    def takes_sms(self) -> bool:
        return self.kind in (PhoneKind.MOBILE, PhoneKind.EITHER)


class PhoneRefused(msgspec.Struct, frozen=True):
    """Not a number that may be dialled; `text` is a sentence for whoever keeps the register."""

    reason: RefusalReason
    text: str


_KINDS = {
    PhoneNumberType.MOBILE: PhoneKind.MOBILE,
    PhoneNumberType.FIXED_LINE: PhoneKind.LANDLINE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: PhoneKind.EITHER,
    PhoneNumberType.VOIP: PhoneKind.VOIP,
}
# 45 to 49 is the mobile range of the Belgian plan (BIPT); 2.5 M/s here against 50 k/s in libphonenumber.
_BELGIAN_MOBILE = re.compile(r"(?:(?:\+32|0032)0?|0)(4[5-9][0-9]{7})")
_BELGIAN_LANDLINE = re.compile(r"\+32([0-9]{8})")


def _belgian(*kinds: str) -> re.Pattern[str]:
    """libphonenumber's own patterns of some kinds of national numbers."""
    plan = phonenumbers.PhoneMetadata.metadata_for_region("BE")
    found = [getattr(plan, kind, None) for kind in kinds]
    patterns = [kind.national_number_pattern for kind in found if kind and kind.national_number_pattern]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)")


_LINE = _belgian("fixed_line")
_OTHER = _belgian(
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail", "mobile"
)
"""What libphonenumber would call a number before, or as well as, a fixed line."""
_MARK = re.compile(r"[ ./()\-]")
_SCHEME = re.compile(r"(?:tel|callto|gsm|mobile|mob|t[ée]l)\.?\s*:\s*", re.IGNORECASE)
# "0477-12-34-56 (gsm mama)": libphonenumber would read the letters as keys of the dial.
_COMMENT = re.compile(r"\s*[(\[,;:-]?\s*[^\W\d_][^\d]*$")
_LETTER = re.compile(r"[^\W\d_]")
_BREAK = re.compile(r"[;,|&\n\t]|\s(?:of|ou|or|oder|en|et|und)\s", re.IGNORECASE)
_EXTENSION = re.compile(r"\d\s*(?:#|;ext=|(?:ext|extension|poste|toestel)\b\.?|x)\s*\d+\s*$", re.IGNORECASE)
_ODD = re.compile(r"[^\d+ ./()\-]")


def normalise_phone(raw: str, *, region: str = "BE") -> Phone | PhoneRefused:
    """Read one field of a register. `region` (ISO 3166 alpha-2) is where a number without country code lives.

    Never raises. Doubtful fields (two numbers, letters inside, an extension) are refused, never guessed: a
    wrong guess reaches a stranger.
    """
    text = unicodedata.normalize("NFKC", raw).strip()
    if region == "BE" and (match := _BELGIAN_MOBILE.fullmatch(_MARK.sub("", text))):
        return Phone("+32" + match[1], PhoneKind.MOBILE)
    if (match := _BELGIAN_LANDLINE.fullmatch(text)) and _LINE.fullmatch(match[1]) and not _OTHER.fullmatch(match[1]):
        return Phone(text, PhoneKind.LANDLINE)
    text = _tidy(text)
    return _doubt(text) or _read(text, region)


def _tidy(text: str) -> str:
    text = "".join(" " if unicodedata.category(c) in ("Zs", "Cf") else c for c in text)
    text = re.sub("[‐‑‒–—−]", "-", text)
    text = _SCHEME.sub("", text, count=1).strip()
    return text if _EXTENSION.search(text) else _COMMENT.sub("", text).strip(" ,;:-")


def _doubt(text: str) -> PhoneRefused | None:
    """What makes the field unreadable before any numbering plan is asked."""
    digits = sum(character.isdigit() for character in text)
    if not text or not digits:
        return PhoneRefused(RefusalReason.EMPTY, "There is no number in this field.")
    if _EXTENSION.search(text):
        return PhoneRefused(RefusalReason.EXTENSION, "A number with an extension cannot be reached by a machine.")
    if _two_numbers(text):
        return PhoneRefused(RefusalReason.SEVERAL, "This field holds more than one number; give each its own.")
    if _LETTER.search(text):
        return PhoneRefused(RefusalReason.LETTERS, "There are letters inside the number.")
    if _ODD.search(text):
        return PhoneRefused(RefusalReason.INVALID, "There are characters in this field that no number has.")
    return None


def _two_numbers(text: str) -> bool:
    """Whether a separator, or a slash, stands between two runs that each are long enough to be a number."""
    for pieces in (_BREAK.split(text), text.split("/"), re.split(r"\+", text)):
        if sum(len(re.sub(r"\D", "", piece)) >= 8 for piece in pieces) > 1:
            return True
    return False


def _read(text: str, region: str) -> Phone | PhoneRefused:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return PhoneRefused(RefusalReason.INVALID, "This is not a telephone number.")
    if not phonenumbers.is_valid_number(number):
        return PhoneRefused(RefusalReason.INVALID, "No numbering plan has this number.")
    kind = phonenumbers.number_type(number)
    if kind in _KINDS:
        return Phone(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), _KINDS[kind])
    if kind in (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST):
        return PhoneRefused(RefusalReason.PREMIUM, "Premium and shared-cost numbers are not called.")
    if kind == PhoneNumberType.PERSONAL_NUMBER:
        # The British 070 and its like: forwarded to wherever their owner is, at the price of a premium number.
        return PhoneRefused(RefusalReason.PREMIUM, "Personal numbers are forwarded at a premium price: not called.")
    return PhoneRefused(RefusalReason.SPECIAL, "Toll-free and other special numbers reach no person.")
