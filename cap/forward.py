"""An alert as it may be passed on to a network that answers: files are linked, not enclosed (CAP-v1.2 3.2.3 derefUri).

The standard wants derefUri left out there. That changes the message, so a signature over it is lost: whoever passes
it on signs it again and keeps the original.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

from cap.model import Alert, Resource

Place = Callable[[int, int], str]


def has_contents(alert: Alert) -> bool:
    """Whether a file is enclosed in the alert."""
    return any(resource.deref_uri for info in alert.infos for resource in info.resources)


def forwarded(alert: Alert, place: Place | None = None) -> Alert:
    """The alert without enclosed files; itself if it has none.

    `place(info, resource)` is the address at which the file of a resource can be had, by their numbers from 1. Without
    one an enclosed file is described and no longer linked.
    """
    if not has_contents(alert):
        return alert
    infos = tuple(
        replace(
            info,
            resources=tuple(
                _linked(resource, place(number, position) if place else "")
                for position, resource in enumerate(info.resources, 1)
            ),
        )
        for number, info in enumerate(alert.infos, 1)
    )
    return replace(alert, infos=infos)


def _linked(resource: Resource, address: str) -> Resource:
    if not resource.deref_uri:
        return resource
    # A relative uri names the enclosed content, and means nothing without it.
    uri = resource.uri if urlsplit(resource.uri).scheme else address
    return replace(resource, deref_uri="", uri=uri)
