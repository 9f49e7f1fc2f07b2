"""The XML names of CAP and of its neighbours. Knows spelling only."""

from __future__ import annotations

from typing import Final

CAP_12: Final = "urn:oasis:names:tc:emergency:cap:1.2"
CAP_11: Final = "urn:oasis:names:tc:emergency:cap:1.1"
CAP_10: Final = "http://www.incident.com/cap/1.0"
XMLDSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
ATOM: Final = "http://www.w3.org/2005/Atom"

ALERT: Final = f"{{{CAP_12}}}alert"
INFO: Final = f"{{{CAP_12}}}info"
AREA: Final = f"{{{CAP_12}}}area"
HEIGHTS: Final = (f"{{{CAP_12}}}altitude", f"{{{CAP_12}}}ceiling")
POLYGON: Final = f"{{{CAP_12}}}polygon"
ADDRESSES: Final = f"{{{CAP_12}}}addresses"
REFERENCES: Final = f"{{{CAP_12}}}references"
INCIDENTS: Final = f"{{{CAP_12}}}incidents"
VALUE_NAME: Final = f"{{{CAP_12}}}valueName"
VALUE: Final = f"{{{CAP_12}}}value"
SIGNATURE: Final = f"{{{XMLDSIG}}}Signature"

# Elements that hold elements; what is wrong with any other is wrong with its text.
CONTAINERS: Final = frozenset({"alert", "info", "area", "resource", "eventCode", "parameter", "geocode"})
# Elements that may stand more than once beside each other: a path gives them a number.
REPEATED: Final = frozenset(
    {"code", "info", "category", "responseType", "eventCode", "parameter", "resource", "area", "polygon",
     "circle", "geocode"}
)  # fmt: skip
