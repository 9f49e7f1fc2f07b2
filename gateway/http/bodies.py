"""What comes in: bodies of a bounded size in a bounded time, and JSON by its struct."""

import asyncio
import re
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from gateway.errors import Reason, Refusal, first_of
from gateway.fault_words import SURROGATE
from gateway.input_faults import UNKNOWN, faults_of
from gateway.value_faults import Fault

T = TypeVar("T")

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
CAP_MEDIA_TYPE = "application/cap+xml"
"""What this project sends."""
EDXL_MEDIA_TYPE = "application/edxl+xml"
"""EDXL-DE has none of its own; this is what its senders use."""
CAP_TYPES = (
    CAP_MEDIA_TYPE,
    EDXL_MEDIA_TYPE,
    "application/common-alerting-protocol+xml",
    "application/EmergencyCallData.cap+xml",
    "application/xml",
    "text/xml",
)
_CAP = frozenset(name.lower() for name in CAP_TYPES)
_LONGEST_TYPE = 200
_BIG_BYTES = 20_000
_CHARSETS = frozenset({None, "utf-8", "utf8", "us-ascii"})


def require_type(request: web.Request, known: frozenset[str] = _CAP, names: tuple[str, ...] = CAP_TYPES) -> None:
    """Raises Refusal 415: another type, another character set than UTF-8, or a compressed body."""
    # Longer ones are no types: the parser of the standard library takes a second for 8 kB of quotes.
    if len(request.headers.get("Content-Type", "")) > _LONGEST_TYPE:
        raise Refusal(415, "unsupported-media-type", f"A Content-Type has {_LONGEST_TYPE} characters at most.")
    given = request.content_type.lower() if "Content-Type" in request.headers else ""
    if given not in known:
        title = f"The body's type must be one of {', '.join(names)}."
        reason = Reason(
            "HEADER", title, path="Content-Type", value=given[:80], remedy="Send it as Content-Type.", cause="type",
            facts=(", ".join(names),), choices=names,
        )  # fmt: skip
        raise Refusal(415, "unsupported-media-type", title, (reason,))
    charset = request.charset
    if (charset.lower() if charset else None) not in _CHARSETS:
        raise Refusal(415, "unsupported-charset", "The body must be UTF-8.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(415, "unsupported-encoding", "The body must not be compressed.")


async def read_body(request: web.Request, most: int, timeout_s: float) -> bytes:
    """The whole body. Raises Refusal 413 over `most` bytes, 408 after `timeout_s`, 400 when it is empty or cut off."""
    too_large = Refusal(413, "too-large", f"The body may have {most} bytes at most.")
    if (request.content_length or 0) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.content.iter_any():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError as exc:
        raise Refusal(408, "too-slow", f"The body did not arrive within {timeout_s:g} s.") from exc
    except web.RequestPayloadError as exc:
        raise Refusal(400, "broken-body", "The body could not be read to its end.") from exc
    if not size:
        raise Refusal(400, "empty-body", "The body is empty.")
    return b"".join(parts)


async def read_json(request: web.Request, type_: type[T], most: int, timeout_s: float) -> T:
    """The body of a request as a struct: of a PATCH a merge patch (RFC 7396). Raises Refusal: 415, 413, 408, and 400
    naming the path of what is wrong."""
    wanted = MERGE_PATCH if request.method == "PATCH" else JSON
    require_type(request, frozenset({wanted}), (wanted,))
    body = await read_body(request, most, timeout_s)
    if len(body) > _BIG_BYTES:
        # Its faults, if it has any, take a quarter of a second to find.
        return await asyncio.to_thread(struct_of, body, type_)
    return struct_of(body, type_)


def struct_of(body: bytes, type_: type[T]) -> T:
    """The struct that some JSON holds. Raises Refusal 400 with every fault."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as exc:
        reasons = _faults(body, type_) or (_as_it_says(exc),)
        raise Refusal(400, "invalid-request", "The request is not as it should be.", reasons) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _no_json(body, exc) from exc


def _no_json(body: bytes, exc: Exception) -> Refusal:
    return Refusal(
        400, "invalid-json", "The body is not JSON.", (_lone_surrogate(body) or Reason("JSON", str(exc)[:200]),)
    )


_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def _lone_surrogate(body: bytes) -> Reason | None:
    """The first half of a pair of surrogates (RFC 8259 8.2) that stands alone: the parser's word for it is that the
    body ends too early."""
    high: re.Match[bytes] | None = None
    for found in _ESCAPE.finditer(body):
        unit = int(found[1] or b"0", 16)
        is_second = 0xDC00 <= unit < 0xE000
        follows = high is not None and high.end() == found.start()
        if is_second and follows:
            high = None
        elif high is not None or is_second:
            break
        elif 0xD800 <= unit < 0xDC00:
            high = found
    else:
        if high is None:
            return None
    alone = high or found
    fact = alone[0].decode("ascii")
    text, remedy = (words.format(fact) for words in SURROGATE)
    return Reason("JSON", text, remedy=remedy, cause="surrogate", facts=(fact,))


def _faults(body: bytes, type_: type[Any]) -> tuple[Reason, ...]:
    """Every fault; none where only the struct as a whole has something against it, or where the first one was met
    before the end of what is no JSON."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    try:
        return first_of(map(_reason, faults_of(value, type_)))
    except RecursionError:  # lists in lists in lists, of a type that allows for it: the first fault must do
        return ()


def _reason(fault: Fault) -> Reason:
    return Reason(
        "JSON",
        fault.text,
        # An unknown key is a fault of what it stands in.
        path=fault.path.removesuffix(f".{fault.facts[0]}") if fault.cause in UNKNOWN else fault.path,
        pointer=fault.pointer,
        remedy=fault.remedy,
        cause=fault.cause,
        facts=fault.facts,
        choices=fault.choices,
    )


def _as_it_says(exc: msgspec.ValidationError) -> Reason:
    text, _, path = str(exc).partition(" - at ")
    return Reason("JSON", text, path=path.strip("`") or "$")
