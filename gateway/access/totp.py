"""Time-based one-time passwords (RFC 6238): 6 digits, SHA-1, steps of 30 s. Pure; time is an argument."""

import base64
import hmac
import secrets
from io import BytesIO

STEP_S = 30
CLOCK_OFF_S = 40
"""A clock that is so much off still works: one step before and one after are looked at, and a second one where so far
off it has begun."""
_SECRET_BYTES = 20
_ISSUER = "Tocsin"


def new_secret() -> bytes:
    return secrets.token_bytes(_SECRET_BYTES)


def step_of(secret: bytes, code: str, now_ms: int) -> int | None:
    """The step of time of which this is the code, among those around now; None where it is of none. Every one is looked
    at, whichever fits."""
    import pyotp

    maker, found = pyotp.TOTP(shown(secret)), None
    now_s = now_ms // 1000
    for step in range((now_s - CLOCK_OFF_S) // STEP_S, (now_s + CLOCK_OFF_S) // STEP_S + 1):
        if hmac.compare_digest(maker.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def shown(secret: bytes) -> str:
    """As people type it into an app."""
    return base64.b32encode(secret).decode()


def otpauth(secret: bytes, account: str) -> str:
    """The address that an app reads."""
    import pyotp

    return pyotp.TOTP(shown(secret)).provisioning_uri(name=account, issuer_name=_ISSUER)


def qr_path(text: str) -> tuple[str, int]:
    """A text as a QR code: the data of an SVG path that is stroked with a line of 1, and the width and height of its
    view box. Nothing that a server is asked for: the text is a secret."""
    import re

    import segno

    made = segno.make(text, error="m", micro=False)
    out = BytesIO()
    made.save(out, kind="svg", xmldecl=False, svgns=False, nl=False, border=4)
    [path] = re.findall(r'\bd="([^"]+)"', out.getvalue().decode())
    return path, int(made.symbol_size(border=4)[0])
