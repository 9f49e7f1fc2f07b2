"""The address under which people sign in, and what follows from it: the cookie's name, the origin that is believed,
the name to which passkeys are bound. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.settings import ServerSettings, SignInSettings

HERE = frozenset({"127.0.0.1", "::1", "localhost"})
SECURE_COOKIE = "__Host-tocsin"
"""Browsers take it over TLS only, for this host alone and its whole site."""
PLAIN_COOKIE = "tocsin"


@dataclass(frozen=True, slots=True)
class SignInSite:
    scheme: str
    host: str
    port: int | None
    """None: the usual one of the scheme, or on this machine whichever the door has."""
    is_told: bool
    """By `server.public_url`."""

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @property
    def is_open(self) -> bool:
        """Whether anybody may sign in: a password in plain HTTP beyond this machine is everybody's."""
        return self.is_secure or self.host in HERE

    @property
    def cookie(self) -> str:
        return SECURE_COOKIE if self.is_secure else PLAIN_COOKIE

    @property
    def passkey_host(self) -> str:
        """The RP ID of WebAuthn: an address has none, and this machine is called localhost."""
        return "localhost" if self.host in HERE else self.host

    def is_own(self, origin: str) -> bool:
        """Whether an Origin is this site's: scheme, host and port. On this machine, where no address is told, any port
        and any of its names is: the door's own host is compared beside this (`gateway/http/cross_site.py`)."""
        found = _parts(origin)
        if found is None:
            return False
        scheme, host, port = found
        if not self.is_told and self.host in HERE:
            return scheme == self.scheme and host in HERE
        return (scheme, host, port) == (self.scheme, self.host, self.port or _usual(self.scheme))


def base_url(server: ServerSettings) -> str:
    """Where people reach the pages, without a slash at its end: `server.public_url`, else this machine."""
    if server.public_url:
        return server.public_url.rstrip("/")
    site = sign_in_site(server)
    # Passkeys know this machine by its name alone.
    host = "localhost" if site.host in HERE else site.host
    return f"{site.scheme}://{host}{'' if site.port is None else f':{site.port}'}"


def sign_in_site(server: ServerSettings) -> SignInSite:
    """As the settings have it."""
    if server.public_url:
        told = urlsplit(server.public_url)
        return SignInSite(told.scheme.lower(), told.hostname or "", told.port, is_told=True)
    scheme = "https" if server.tls_certificate else "http"
    return SignInSite(scheme, server.host, server.port or None, is_told=False)


def sign_in_fault(server: ServerSettings, rules: SignInSettings) -> str:
    """Why nobody could sign in though the settings say so; empty: people can."""
    site = sign_in_site(server)
    if not rules.enabled or site.is_open:
        return ""
    return (
        f"people would sign in over plain HTTP at {site.host}, and nobody may: give server.public_url with "
        "https://, or say false"
    )


def sign_in_reminders(server: ServerSettings, rules: SignInSettings) -> Iterator[str]:
    """What is so by the nature of passkeys, and is seldom thought of."""
    site = sign_in_site(server)
    if not rules.enabled or site.host in HERE:
        return
    if site.is_told:
        yield (
            f"server.public_url: passkeys are bound to the name {site.host}. Under another name none of them is good: "
            "their owners sign in with a password and a code, or a recovery code, and make new ones."
        )
    else:
        yield "server.public_url: it is left out, and passkeys are bound to a name: none can be made."


def _parts(origin: str) -> tuple[str, str, int] | None:
    try:
        found = urlsplit(origin)
        port = found.port
    except ValueError:
        return None
    if not found.hostname or found.path or found.query or found.fragment or "@" in found.netloc:
        return None
    return found.scheme.lower(), found.hostname, port or _usual(found.scheme.lower())


def _usual(scheme: str) -> int:
    return 443 if scheme == "https" else 80
