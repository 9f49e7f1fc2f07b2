"""A private Postfix in one temporary directory, from Debian's binaries, on 127.0.0.1.

It relays everything to one next hop, a bounce domain to another, and needs root, as Postfix does.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/lib
maillog_file = {root}/mail.log
maillog_file_prefixes = /tmp, /var, {root}
multi_instance_enable = no
myhostname = relay.example.invalid
mydomain = example.invalid
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = 127.0.0.1
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
relayhost = [127.0.0.1]:{next_hop}
transport_maps = inline:{{ {{ {bounce_domain} = smtp:[127.0.0.1]:{bounce_port} }} }}
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:no local delivery
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_forbid_unauth_pipelining = yes
smtpd_forbid_bare_newline = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtp_tls_security_level = none
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
in_flow_delay = 0
"""
_MASTER = """\
{port} inet n - n - 50 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(msgspec.Struct, frozen=True):
    port: int
    root: Path

    @property
    def log(self) -> str:
        return (self.root / "mail.log").read_text(encoding="utf-8", errors="replace")


def missing(what: str) -> None:
    """A peer that is not installed: a reason to skip by hand, a failure where everything must have been."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not there")
    pytest.skip(f"{what} is not there: run 'make peers'")


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def private_postfix(
    *, next_hop: int, bounce_domain: str, bounce_port: int, certificate: Path, key: Path
) -> Iterator[Postfix]:
    """A relay that delivers to `next_hop`, and what is for `bounce_domain` to `bounce_port`."""
    if shutil.which("postfix") is None:
        missing("Postfix")
    if os.geteuid() != 0:
        missing("root, which Postfix asks for,")
    with tempfile.TemporaryDirectory(prefix="postfix-") as directory:
        root, port = Path(directory), free_port()
        _lay_out(root, port, next_hop, bounce_domain, bounce_port, certificate, key)
        try:
            _postfix(root, "start")
            _wait_for(port, root)
            yield Postfix(port, root)
        finally:
            _postfix(root, "stop", check=False)


def _lay_out(
    root: Path, port: int, next_hop: int, bounce_domain: str, bounce_port: int, certificate: Path, key: Path
) -> None:
    root.chmod(0o755)
    for folder in ("etc", "lib", "spool"):
        (root / folder).mkdir()
    os.chown(root / "lib", pwd.getpwnam("postfix").pw_uid, -1)
    for source in (certificate, key):
        shutil.copy(source, root / "etc" / source.name)
    settings = _MAIN.format(
        root=root,
        next_hop=next_hop,
        bounce_domain=bounce_domain,
        bounce_port=bounce_port,
        certificate=root / "etc" / certificate.name,
        key=root / "etc" / key.name,
    )
    (root / "etc" / "main.cf").write_text(settings, encoding="utf-8")
    (root / "etc" / "master.cf").write_text(_MASTER.format(port=f"127.0.0.1:{port}"), encoding="utf-8")


def _postfix(root: Path, command: str, *, check: bool = True) -> None:
    done = subprocess.run(
        ["postfix", "-c", str(root / "etc"), command], capture_output=True, text=True, timeout=30, check=False
    )
    if check and done.returncode != 0:
        pytest.fail(f"postfix {command}: {done.stdout}{done.stderr}")


def _wait_for(port: int, root: Path) -> None:
    deadline_s = time.monotonic() + 15
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.05)
    pytest.fail("Postfix did not start: " + (root / "mail.log").read_text(encoding="utf-8", errors="replace"))
