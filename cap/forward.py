"""An alert as it may be passed on to a network that answers: files are linked, not enclosed (CAP-v1.2 3.2.3 derefUri).

The standard wants derefUri left out there. That changes the message, so a signature over it is lost: whoever passes
it on signs it again and keeps the original.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

from cap.model import Alert, Resource

FileAddress = Callable[[str], str]
"""The SHA-256 of an enclosed file (hexadecimal) -> the address at which it can be had."""


def has_contents(alert: Alert) -> bool:
    """Whether a file is enclosed in the alert."""
    return any(resource.deref_uri for info in alert.infos for resource in info.resources)


def forwarded(alert: Alert, place: FileAddress | None = None) -> Alert:
    """The alert without enclosed files; itself if it has none.

    Without `place` an enclosed file that has no address of its own is described and no longer linked.
    """
    if not has_contents(alert):
        return alert
    infos = tuple(
        replace(info, resources=tuple(_linked(resource, place) for resource in info.resources)) for info in alert.infos
    )
    return replace(alert, infos=infos)


def enclosed(alert: Alert, sha256: str) -> Resource | None:
    """The resource whose enclosed file has this sum (hexadecimal); None where there is none."""
    for info in alert.infos:
        for resource in info.resources:
            content = resource.content()
            if content is not None and sum_of(content) == sha256:
                return resource
    return None


def sum_of(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _linked(resource: Resource, place: FileAddress | None) -> Resource:
    if not resource.deref_uri:
        return resource
    # A relative uri names the enclosed content, and means nothing without it.
    own = resource.uri if urlsplit(resource.uri).scheme else ""
    content = resource.content()
    address = place(sum_of(content)) if place and content is not None and not own else ""
    return replace(resource, deref_uri="", uri=own or address)
