"""Programs beside the gateway: peers, their clients, our own measuring programs. Whoever opened the stage ends them."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.bench.figures import Failed, PeerMissing
from loadtest.stage import ChildProcess, Stage, end

_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/bin"
_LISTENS_S = 15.0


def found(name: str, whose: str) -> str:
    """The path of a program. Raises PeerMissing, naming the peer whose it is."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if path is None:
        raise PeerMissing(f"{whose} is not installed: as root, 'make bench' installs it from Debian")
    return path


async def start(stage: Stage, name: str, *argv: str, piped: bool = False) -> ChildProcess:
    """What it says goes to `NAME.log` in the stage's folder, or is read by the caller."""
    with (stage.folder / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE if piped else log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    child = stage.children[name] = ChildProcess(name, process)
    return child


async def answer(child: ChildProcess, log: Path, timeout_s: float) -> Any:
    """The JSON of the last line that it prints before it ends well. Raises Failed."""
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await child.process.communicate()
    except TimeoutError as exc:
        await end(child, 2.0)
        raise Failed(f"{child.name} was not done in {timeout_s:.0f} s") from exc
    if child.process.returncode:
        tail = (await asyncio.to_thread(log.read_text, errors="replace"))[-600:]
        raise Failed(f"{child.name} ended with {child.process.returncode}: {tail}")
    return json.loads(said.splitlines()[-1])


async def asked(stage: Stage, name: str, *argv: str, timeout_s: float = 120.0) -> Any:
    """Run a program that prints JSON. Raises Failed."""
    child = await start(stage, name, *argv, piped=True)
    return await answer(child, stage.folder / f"{name}.log", timeout_s)


async def listening(child: ChildProcess, port: int) -> None:
    """Waits until somebody takes connections there. Raises Failed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LISTENS_S
    while loop.time() < deadline and child.process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return
    raise Failed(f"{child.name} does not listen")


@contextlib.contextmanager
def folder_of(user: str) -> Iterator[Path]:
    """A temporary folder that this user can write to, when we are root; ours else."""
    made = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(made, user)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
