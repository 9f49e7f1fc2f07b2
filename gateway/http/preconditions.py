"""What a request makes itself depend on: a key by which it is done once, a version that it was made from.

`Idempotency-Key` as in draft-ietf-httpapi-idempotency-key-header-07, `ETag` and `If-Match` as in RFC 9110 8.8 and 13.1.
"""

import re

from aiohttp import web

from gateway.errors import Reason, Refusal
from gateway.instants import rfc3339

KEY = "Idempotency-Key"
_KEY = re.compile(r'"([\x21\x23-\x7e]{1,100})"|([\x21\x23-\x7e]{1,100})')
_TAG = re.compile(r'"r(\d{1,18})"')
_MOST_TAGS = 20


def required_key(request: web.Request) -> str:
    """The caller's own name for one decision, quoted or bare: 1 to 100 visible characters. Raises Refusal 400."""
    given = request.headers.getall(KEY, [])
    if not given:
        remedy = f"Make one for each decision, send it as {KEY}, and send the same one when you try again."
        reason = Reason("HEADER", f"The header {KEY} is missing.", path=KEY, remedy=remedy, cause="no-key")
        raise Refusal(400, "no-idempotency-key", "What moves messages or money is asked for under a key.", (reason,))
    found = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
    if found is None:
        text = f"{KEY} is given once, with 1 to 100 visible characters."
        raise Refusal(
            400,
            "bad-idempotency-key",
            text,
            (Reason("HEADER", text, path=KEY, remedy="Take a UUID, for example.", cause="key"),),
        )
    return found[1] or found[2]


def etag_of(revision: int) -> str:
    """The strong validator of a resource's revision."""
    return f'"r{revision}"'


def require_match(request: web.Request, revision: int, changed_by: str, changed_ms: int) -> None:
    """That the caller has seen this revision. Raises Refusal: 428 without If-Match; 412, with who changed it and when,
    where another one was seen. `*` is any."""
    given = ",".join(request.headers.getall("If-Match", []))
    if not given:
        remedy = "Read it, and send the ETag of what you read as If-Match."
        reason = Reason("HEADER", "The header If-Match is missing.", path="If-Match", remedy=remedy, cause="match")
        raise Refusal(428, "no-if-match", "It may have changed since you saw it.", (reason,))
    tags = [tag.strip() for tag in given[:2_000].split(",")[:_MOST_TAGS]]
    if "*" in tags or etag_of(revision) in tags:
        return
    etag = etag_of(revision)
    members = {"etag": etag, "changed_by": changed_by, "changed_ms": changed_ms}
    at = rfc3339(changed_ms)
    text = f"{changed_by or 'Somebody'} changed it at {at}."
    remedy = "Read it again, and decide then."
    facts = (changed_by, at)
    reason = Reason("HEADER", text, path="If-Match", value=given[:100], remedy=remedy, cause="changed", facts=facts)
    raise Refusal(412, "changed-meanwhile", "It has changed since you saw it.", (reason,), members=members)
