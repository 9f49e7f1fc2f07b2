"""nginx and Caddy as Debian has them, each with the file of docs/proxy: only ports and paths are put in.

They listen on 127.0.0.1, in a folder of the test, and stay in the foreground.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.postfix import free_port, missing

EXAMPLES = Path(__file__).parents[2] / "docs" / "proxy"
_NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/nginx.log info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    include {root}/site.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    https_port: int
    http_port: int


@contextlib.contextmanager
def nginx(root: Path, gateway_port: int, certificate: Path, key: Path) -> Iterator[Proxy]:
    program = "/usr/sbin/nginx"
    if shutil.which(program) is None:
        missing("nginx")
    user = "user root;" if os.geteuid() == 0 else ""  # the folders of a test are for nobody else
    proxy = Proxy(free_port(), free_port())
    site = _put_in(
        (EXAMPLES / "nginx.conf").read_text(encoding="utf-8"),
        {
            "listen 80;": f"listen 127.0.0.1:{proxy.http_port};",
            "listen [::]:80;": f"listen 127.0.0.2:{proxy.http_port};",
            "listen 443 ssl": f"listen 127.0.0.1:{proxy.https_port} ssl",
            "listen [::]:443 ssl": f"listen 127.0.0.2:{proxy.https_port} ssl",
            "server 127.0.0.1:8080;": f"server 127.0.0.1:{gateway_port};",
            "/etc/ssl/tocsin/fullchain.pem": str(certificate),
            "/etc/ssl/tocsin/privkey.pem": str(key),
        },
    )
    (root / "site.conf").write_text(site, encoding="utf-8")
    (root / "nginx.conf").write_text(_NGINX.format(root=root, user=user), encoding="utf-8")
    with _running([program, "-c", f"{root}/nginx.conf", "-p", str(root), "-e", f"{root}/nginx.log"], root, proxy):
        yield proxy


@contextlib.contextmanager
def caddy(root: Path, gateway_port: int, certificate: Path, key: Path) -> Iterator[Proxy]:
    if shutil.which("caddy") is None:
        missing("Caddy")
    proxy = Proxy(free_port(), free_port())
    here = f"\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port {proxy.http_port}\n\thttps_port {proxy.https_port}\n"
    site = _put_in(
        (EXAMPLES / "Caddyfile").read_text(encoding="utf-8"),
        {
            "\n{\n": f"\n{{\n{here}",
            "\nalerts.example.org {\n": f"\nalerts.example.org {{\n\ttls {certificate} {key}\n",
            "reverse_proxy 127.0.0.1:8080": f"reverse_proxy 127.0.0.1:{gateway_port}",
        },
    )
    (root / "Caddyfile").write_text(site, encoding="utf-8")
    with _running(["caddy", "run", "--adapter", "caddyfile", "--config", f"{root}/Caddyfile"], root, proxy):
        yield proxy


def _put_in(text: str, places: Mapping[str, str]) -> str:
    for what, instead in places.items():
        text, found = re.subn(re.escape(what), lambda _, to=instead: to, text)
        assert found == 1, f"the example has {what!r} {found} times"
    return text


@contextlib.contextmanager
def _running(command: list[str], root: Path, proxy: Proxy) -> Iterator[None]:
    home = os.environ | {"HOME": str(root), "XDG_DATA_HOME": str(root), "XDG_CONFIG_HOME": str(root)}
    with (root / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=root, env=home)
    try:
        _wait_for(proxy.https_port, process, root)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(port: int, process: subprocess.Popen[bytes], root: Path) -> None:
    deadline_s = time.monotonic() + 15
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), contextlib.closing(_connected(port)):
            return
        time.sleep(0.02)
    pytest.fail("the proxy did not start: " + (root / "said").read_text(encoding="utf-8", errors="replace"))


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 1)
