"""The lines of a seed file (docs/seed-format.md): what each may hold, and what is wrong with one, by line and path.

Pure: reads lines into entries, normalises addresses, knows no database.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from channels.email.address import MailboxRefused, normalise_mailbox
from channels.sms.numbers import PhoneKind, PhoneRefused, normalise_phone
from gateway.directory.agreements import SenderTerms, faults, remarks
from gateway.directory.point_in_area import ShapeRefused, point_e7, territory
from gateway.directory.senders import KindRule
from gateway.directory.zone_policy import ZonePolicy
from gateway.input_faults import UNKNOWN, faults_of
from gateway.kinds import Kind
from gateway.value_faults import Fault
from store.register.writing import ContactRecord

MOST_LISTED = 50
"""Errors, and unusable contacts, that are told one by one; beyond it they are counted."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ShortCode = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Point = tuple[float, float]


def word_of(name: str) -> str:
    """What the `type` of a line says, by the name of its class: `zone` for ZoneLine."""
    return name.removesuffix("Line").lower()


class _Line(msgspec.Struct, frozen=True, tag=word_of, tag_field="type", forbid_unknown_fields=True):
    pass


class Geocode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: Name
    value: Name


class ZoneLine(_Line, frozen=True):
    code: ShortCode
    name: Name
    convention: Literal[1, 2]
    policy: ZonePolicy = ZonePolicy()
    territory: tuple[tuple[Point, ...], ...] = ()
    codes: tuple[Geocode, ...] = ()
    """Of its territory, beside the rings: its municipalities, postcodes."""


class NetworkLine(_Line, frozen=True):
    zone: ShortCode
    code: ShortCode
    name: Name
    territory: tuple[tuple[Point, ...], ...] = ()
    codes: tuple[Geocode, ...] = ()


class GroupLine(_Line, frozen=True):
    zone: ShortCode
    code: ShortCode
    name: Name


class RightLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an account may do where. `*` is every kind, channel or mode."""

    action: Literal["submit", "launch", "read", "stop", "publish", "operate", "audit", "administer"]
    zone: ShortCode | None = None
    """Its code; null: every zone."""
    network: ShortCode | None = None
    """The code of a network of the zone; null: the whole zone."""
    kind: Literal["*", "alert", "preventive", "news", "info"] = "*"
    channel: Literal["*", "sms", "email", "voice"] = "*"
    mode: Literal["*", "live", "simulation"] = "*"


class KeyLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key_id: Annotated[str, Meta(pattern=r"^(test-)?[a-z0-9]{8,32}\Z")]
    """With `test-` before it the key only simulates."""
    secret_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class AccountLine(_Line, frozen=True):
    code: ShortCode
    name: Name
    account_type: Literal[
        "cic", "officer", "coordinator", "co-coordinator", "administrator", "operator", "auditor", "consumer"
    ]
    senders: tuple[Name, ...] = ()
    kind_rules: tuple[KindRule, ...] = ()
    terms: tuple[SenderTerms, ...] = ()
    rights: tuple[RightLine, ...] = ()
    publishes: bool = True
    """Of a dispatch centre's system for whose rights no line says what it may publish: whether it may where it submits
    alerts for a whole zone."""
    keys: tuple[KeyLine, ...] = ()


class SeedPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lat: float
    lon: float


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: ShortCode
    role: Literal["member", "coordinator", "co-coordinator"] = "member"


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["phone", "mobile", "landline", "email"]
    """The numbering plan decides between mobile and landline where it can."""
    value: str


class MemberLine(_Line, frozen=True):
    zone: ShortCode
    reference: Name
    name: Name
    language: Annotated[str, Meta(pattern=r"^([a-z]{2,3})?\Z")] = ""
    position: SeedPosition | None = None
    postcode: Annotated[int, Meta(ge=1000, le=9999)] | None = None
    refnis: Annotated[int, Meta(ge=10000, le=99999)] | None = None
    networks: tuple[Membership, ...] = ()
    groups: tuple[ShortCode, ...] = ()
    contacts: tuple[Contact, ...] = ()
    opt_outs: tuple[Kind, ...] = ()


class LotLine(_Line, frozen=True):
    zone: ShortCode
    reference: Name
    amount_millieuro: Annotated[int, Meta(gt=0)]
    valid_until: Annotated[datetime, Meta(tz=True)] | None = None


SeedLine = ZoneLine | NetworkLine | GroupLine | AccountLine | MemberLine | LotLine


class SeedError(msgspec.Struct, frozen=True):
    line: int
    path: str
    """As msgspec writes it: `$.contacts[0].type`."""
    reason: str
    who: str = ""
    """Which entry it is: its name and reference or code, where they can be read."""


class SeedRemark(msgspec.Struct, frozen=True):
    """A line that is loaded, and likely not what was meant."""

    line: int
    path: str
    text: str


class UnusableContact(msgspec.Struct, frozen=True):
    """A contact that was left out; its value stays in the file."""

    line: int
    path: str
    reason: str
    who: str = ""
    """The person, by name and reference."""
    value: str = ""


class Numbered(msgspec.Struct, frozen=True):
    """An entry that is sound by itself and in its place, with a member's contacts in normal form."""

    line: int
    entry: SeedLine
    contacts: tuple[ContactRecord, ...] = ()


class RegisterCodes(msgspec.Struct):
    """What a line may refer to: what the register has, and what came before in the file."""

    zones: set[str]
    networks: set[tuple[str, str]]
    groups: set[tuple[str, str]]


class SeedReader:
    """Reads one file's lines in order, and keeps account of what is wrong with them."""

    def __init__(self, known: RegisterCodes, at: datetime) -> None:
        """`at`: the time (aware) for which certificates are judged."""
        self.remarks: list[SeedRemark] = []
        self.errors: list[SeedError] = []
        self.error_count = 0
        self.unusable: list[UnusableContact] = []
        self.unusable_count = 0
        self._known = known
        self._at = at
        self._decoder = msgspec.json.Decoder(SeedLine)
        self._seen: set[int] = set()

    def read(self, lines: Iterable[str | bytes]) -> Iterator[Numbered]:
        """The sound entries; blank lines are passed over."""
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = self._decoder.decode(line)
            except msgspec.ValidationError as exc:
                self._tell_of(number, line, exc)
                continue
            except UnicodeDecodeError as exc:
                self._error(number, "$", f"not UTF-8 ({exc.object[:40]!r}): save the file as UTF-8")
                continue
            except (msgspec.MsgspecError, RecursionError) as exc:
                self._error(number, "$", str(exc))
                if number == self.error_count == _TABLE_AFTER and _is_table(line):
                    self.errors[:] = [SeedError(1, "$", _NO_TABLE)]
                    self.error_count = 1
                    return
                continue
            found = list(self._faults(entry))
            for path, reason in found:
                self._error(number, path, reason, _named(entry))
            if not found:
                self._remark(number, entry)
                contacts = self._contacts(number, entry) if isinstance(entry, MemberLine) else ()
                yield Numbered(number, entry, contacts)

    def contradicts(self, numbered: Numbered, reason: str) -> None:
        """The store has something against an entry that is sound by itself."""
        self._error(numbered.line, "$", reason, _named(numbered.entry))

    def forget(self) -> None:
        """Forgets all that was told to be wrong."""
        self.errors.clear()
        self.error_count = 0

    def _tell_of(self, number: int, line: str | bytes, exc: msgspec.ValidationError) -> None:
        """Every fault of a line that is JSON, and which entry it is about."""
        try:
            value = msgspec.json.decode(line)
        except (
            msgspec.MsgspecError,
            UnicodeDecodeError,
            RecursionError,
        ) as broken:  # the fault was met before the end of what is no JSON
            self._error(number, "$", str(broken))
            return
        who = _named_by(value)
        reason, _, path = str(exc).partition(" - at `")
        found = [_placed(fault) for fault in faults_of(value, SeedLine)]
        if not found:
            found = [(path.rstrip("`") or "$", reason)]
        (path, reason), *others = found
        # A line is one error, however much is wrong with it.
        self._error(number, path, "; ".join([reason, *(f"{where}: {what}" for where, what in others)]), who)

    def _remark(self, line: int, entry: SeedLine) -> None:
        told: list[SeedRemark] = []
        if isinstance(entry, AccountLine):
            told = [SeedRemark(line, f"$.terms{path}", text) for path, text in remarks(entry.terms, self._at)]
        if isinstance(entry, MemberLine) and Kind.ALERT in entry.opt_outs:
            text = f"{_named(entry)}: nobody opts out of alerts: against an urgent one no opt-out counts"
            told = [SeedRemark(line, "$.opt_outs", text)]
        self.remarks += told[: MOST_LISTED - len(self.remarks)]

    def _error(self, line: int, path: str, reason: str, who: str = "") -> None:
        self.error_count += 1
        if len(self.errors) < MOST_LISTED:
            self.errors.append(SeedError(line, path, reason, who))

    def _faults(self, entry: SeedLine) -> Iterator[tuple[str, str]]:
        """(path, reason) of whatever the types cannot say; registers what later lines may refer to."""
        key = (type(entry).__name__, *_key(entry))
        if hash(key) in self._seen:  # eight bytes a line, not the line: a million members are a million lines
            yield "$", "this stands in the file already"
        self._seen.add(hash(key))
        if not isinstance(entry, LotLine) and _CONTROL.search(entry.name):
            yield "$.name", "there is a control character in the name"
        if not isinstance(entry, ZoneLine | AccountLine) and entry.zone not in self._known.zones:
            yield "$.zone", f"there is no zone {entry.zone} before this line"
        match entry:
            case ZoneLine():
                self._known.zones.add(entry.code)
                yield from _territory_faults(entry)
            case NetworkLine():
                self._known.networks.add((entry.zone, entry.code))
                yield from _territory_faults(entry)
            case GroupLine():
                self._known.groups.add((entry.zone, entry.code))
            case AccountLine():
                yield from self._right_faults(entry)
                yield from ((f"$.terms{path}", reason) for path, reason in faults(entry.terms, entry.senders))
            case MemberLine():
                yield from self._member_faults(entry)

    def _right_faults(self, account: AccountLine) -> Iterator[tuple[str, str]]:
        for place, right in enumerate(account.rights):
            path = f"$.rights[{place}]"
            if right.zone is not None and right.zone not in self._known.zones:
                yield f"{path}.zone", f"there is no zone {right.zone} before this line"
            elif right.network is not None and (right.zone, right.network) not in self._known.networks:
                yield f"{path}.network", f"there is no network {right.network} of this zone before this line"
            elif (wrong := shape_fault(right)) is not None:
                yield path, wrong

    def _member_faults(self, member: MemberLine) -> Iterator[tuple[str, str]]:
        codes = [membership.code for membership in member.networks]
        for place, code in enumerate(codes):
            if (member.zone, code) not in self._known.networks:
                yield f"$.networks[{place}].code", f"there is no network {code} of this zone before this line"
            elif code in codes[:place]:
                yield f"$.networks[{place}].code", "a member is in a network once, with one role"
        for place, code in enumerate(member.groups):
            if (member.zone, code) not in self._known.groups:
                yield f"$.groups[{place}]", f"there is no group {code} of this zone before this line"
        if member.position is not None:
            try:
                point_e7(member.position.lat, member.position.lon)
            except ShapeRefused as exc:
                yield "$.position", str(exc)

    def _contacts(self, line: int, member: MemberLine) -> tuple[ContactRecord, ...]:
        found: dict[ContactRecord, None] = {}
        for place, contact in enumerate(member.contacts):
            read = normalise(contact)
            if isinstance(read, str):
                self.unusable_count += 1
                if len(self.unusable) < MOST_LISTED:
                    self.unusable.append(
                        UnusableContact(line, f"$.contacts[{place}]", read, _named(member), contact.value[:80])
                    )
            else:
                found[read] = None
        return tuple(found)


def shape_fault(right: RightLine) -> str | None:
    """Why a right is none that there can be, whatever zones and networks there are."""
    if right.network is not None and right.zone is None:
        return "a network is one of a zone: name the zone, too"
    if right.action == "publish" and (right.network, right.channel) != (None, "*"):
        return "what is published is published for a whole zone and for everybody: no network, no channel"
    if right.action == "audit" and right != RightLine("audit", right.zone):
        return "the audit of a zone is read whole: no network, no kind, no channel, no mode"
    if right.action == "administer" and right != RightLine("administer", right.zone):
        return "a zone is administered whole: no network, no kind, no channel, no mode"
    return None


_TABLE_AFTER = 2
_NO_TABLE = (
    "this is a table, as a spreadsheet writes it, and no JSON Lines: each line of a seed file is one JSON object "
    "(docs/seed-format.md)"
)


def _is_table(line: str | bytes) -> bool:
    text = line.decode(errors="replace") if isinstance(line, bytes) else line
    return not text.lstrip().startswith("{") and any(sign in text for sign in ",;\t")


def _placed(fault: Fault) -> tuple[str, str]:
    """An unknown field is a fault of what it stands in."""
    if fault.cause not in UNKNOWN:
        return fault.path, fault.text
    _, _, meant = fault.text.partition(" here")
    return fault.path.rpartition(".")[0], f"unknown field `{fault.facts[0]}`{meant}"


def _named(entry: SeedLine) -> str:
    name = "" if isinstance(entry, LotLine) else entry.name
    return f"{name} ({_key(entry)[-1]})".lstrip()


def _named_by(value: Any) -> str:
    """Of a line that is no entry: what it says of itself."""
    if not isinstance(value, dict):
        return ""
    key = next((value[k] for k in ("reference", "code") if isinstance(value.get(k), str)), "")
    name = value.get("name") if isinstance(value.get("name"), str) else ""
    return f"{name} ({key})".strip() if key else str(name)


def normalise(contact: Contact) -> ContactRecord | str:
    """The contact as the register keeps it, or a sentence on why it cannot be used."""
    if contact.type == "email":
        mailbox = normalise_mailbox(contact.value)
        if isinstance(mailbox, MailboxRefused):
            return mailbox.reason
        return ContactRecord("email", mailbox.address)
    phone = normalise_phone(contact.value)
    if isinstance(phone, PhoneRefused):
        return phone.text
    if phone.kind is PhoneKind.EITHER:  # the plan does not tell: the person who wrote it knows
        return ContactRecord("landline" if contact.type == "landline" else "mobile", phone.e164)
    return ContactRecord("mobile" if phone.takes_sms else "landline", phone.e164)


def _key(entry: SeedLine) -> tuple[str, ...]:
    match entry:
        case ZoneLine() | AccountLine():
            return (entry.code,)
        case NetworkLine() | GroupLine():
            return (entry.zone, entry.code)
        case MemberLine() | LotLine():
            return (entry.zone, entry.reference)


def _territory_faults(entry: NetworkLine | ZoneLine) -> Iterator[tuple[str, str]]:
    for place, ring in enumerate(entry.territory):
        try:
            territory([ring])
        except ShapeRefused as exc:
            yield f"$.territory[{place}]", str(exc)
