"""The operator's documents that are files of this machine: read when the server starts, so that a disk that is away
later takes nothing from people."""

import logging
from collections.abc import Mapping
from pathlib import Path

from gateway.settings import HelpSettings

log = logging.getLogger(__name__)

MOST_BYTES = 8_388_608
"""Of one document."""


def read_document(file: str) -> bytes | str:
    """The octets of a document, or a sentence that says why there are none."""
    try:
        with Path(file).open("rb") as opened:
            found = opened.read(MOST_BYTES + 1)
    except OSError as exc:
        return f"{file}: {exc.strerror or exc}"
    return found if len(found) <= MOST_BYTES else f"{file} has more than {MOST_BYTES} octets"


def read_documents(settings: HelpSettings) -> Mapping[str, bytes]:
    """By name, those that can be read. What cannot is told in the log and stops no server."""
    found: dict[str, bytes] = {}
    for name, document in settings.documents.items():
        octets = read_document(document.file) if document.file else ""
        if isinstance(octets, bytes):
            found[name] = octets
        elif octets:
            log.warning("a document is missing", extra={"action": "help-document-missing", "why": octets})
    return found
