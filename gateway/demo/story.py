"""What the demonstration shows, in the order in which it is shown."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.demo.client import DemoClient, alert_document
from gateway.demo.environment import DemoEnvironment, DemoFailed, free_port
from gateway.operations.terminal_output import Terminal
from gateway.reports.reading import parsed
from gateway.reports.terminal import print_report

RECEIPTS_S = 10.0
"""How long the demonstration waits for the last receipts before it prints the report."""


_PATIENCE_S = 20.0
_UP_TRIES = 15


async def run_demo(folder: Path, port: int, once: bool) -> int:
    """Runs the demonstration and returns its exit code. Ctrl-C ends everything that was started."""
    out = Terminal()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    town = DemoEnvironment(folder)
    try:
        async with town.open(), aiohttp.ClientSession() as session:
            show = asyncio.create_task(_show(out, town, session, port, once, stop))
            interrupted = asyncio.create_task(stop.wait())
            await asyncio.wait({show, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            interrupted.cancel()
            if not show.done():
                out.print("\nStopping ...")
                show.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await show
                return 0
            await show
    except DemoFailed as exc:
        out.print(f"[red]tocsin demo:[/red] {escape(str(exc))}")
        return 1
    return 0


async def _show(
    out: Console, town: DemoEnvironment, session: aiohttp.ClientSession, port: int, once: bool, stop: asyncio.Event
) -> None:
    client = await _open_town(out, town, session, port)
    campaigns = await _post(out, town, client)
    await _follow(out, client, campaigns)
    for campaign in campaigns:
        print_report(parsed(json.dumps(await client.get(f"/api/v1/campaigns/{campaign}/report"))), out)
    out.print("Calls went to a simulated trunk: nobody's telephone rang, whatever the report says of voice.")
    _curl(out, town, client, campaigns)
    if not once:
        out.print("\nThe gateway stays up. Ctrl-C stops it.")
        await stop.wait()


async def _open_town(out: Console, town: DemoEnvironment, session: aiohttp.ClientSession, port: int) -> DemoClient:
    seed = town.prepare()
    bounces, door = free_port(), free_port(port)
    out.print("Peers on this machine: two SMSCs (SMPP 3.4), a mail server (SMTP), a simulated telephone trunk ...")
    smsc = [await town.sink("smsc", "--receipt-delay-s", "0.5") for _ in range(2)]
    smtp = await town.sink("smtp", "--bounce-to", f"127.0.0.1:{bounces}", "--bounce-share", "0.03")
    settings = town.write_settings(door, smsc, smtp, bounces)
    await _load(out, seed, settings)
    server = await town.server(settings)
    client = DemoClient(session, f"http://127.0.0.1:{door}", town.keys["cic-demo"])
    await _until_up(out, town, client, server)
    out.print(f"The gateway is up at {client.url}; its log is {town.folder}/server.log", markup=False)
    return client


async def _until_up(
    out: Console, town: DemoEnvironment, client: DemoClient, server: asyncio.subprocess.Process
) -> None:
    """As long as the machine needs, while the server lives. What it said last tells why it does not."""
    for _ in range(_UP_TRIES):
        if await client.until_ready(_PATIENCE_S):
            return
        log = town.folder / "server.log"
        said = await asyncio.to_thread(_last_lines, log)
        if server.returncode is not None:
            raise DemoFailed(f"the gateway ended with code {server.returncode}; its log ({log}) ends with:\n{said}")
        out.print(f"The gateway is still starting; its log is {log} ...", markup=False)
    raise DemoFailed(
        f"the gateway is not ready after {_UP_TRIES * _PATIENCE_S:g} s; its log ({log}) ends with:\n{said}"
    )


def _command() -> str:
    """As it was called, where that can be seen; a module from anywhere else."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "tocsin" else f"{sys.executable} -m gateway"


def _last_lines(log: Path, most: int = 5) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-most:]) or "(nothing)"


async def _load(out: Console, seed: Path, settings: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "load", str(seed), "--config", str(settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise DemoFailed(f"the population could not be loaded:\n{said.decode(errors='replace')}")
    with seed.open(encoding="utf-8") as lines:
        kinds = [json.loads(line)["type"] for line in lines]
    counted = ", ".join(f"{kinds.count(kind)} {kind}s" for kind in ("zone", "network", "member", "account"))
    out.print(f"The register: {counted}.")


async def _post(out: Console, town: DemoEnvironment, client: DemoClient) -> list[str]:
    document = alert_document("cic@police.example", _areas(town.folder / "seed.jsonl"))
    (town.folder / "alert.xml").write_bytes(document)
    status, answer = await client.post(document)
    if status != 202:
        raise DemoFailed(f"the alert was refused with {status}: {json.dumps(answer)[:2000]}")
    out.print(f"POST /cap/v1/alerts answered {status}: alert {answer['id']}")
    campaigns = []
    for zone in answer["zones"]:
        text = f"  zone {zone['zone']}: campaign {zone.get('campaign') or 'none: ' + zone['refusal']}"
        out.print(text, markup=False)
        if zone.get("campaign"):
            campaigns.append(zone["campaign"])
    return campaigns


def _areas(seed: Path) -> list[tuple[str, str]]:
    """One polygon a network, as CAP writes it."""
    found = []
    with seed.open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            if entry["type"] == "network":
                ring = " ".join(f"{lat},{lon}" for lat, lon in entry["territory"][0])
                found.append((entry["name"], ring))
    return found


async def _follow(out: Console, client: DemoClient, campaigns: list[str]) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out) as bars:
        try:
            async with asyncio.timeout(RECEIPTS_S + 60), asyncio.TaskGroup() as tasks:
                for campaign in campaigns:
                    tasks.create_task(_bar(client, campaign, bars))
        except TimeoutError:
            out.print("Some receipts have not come yet; the report says which.")


async def _bar(client: DemoClient, campaign: str, bars: Progress) -> None:
    tasks: dict[str, Any] = {}
    sent_at: float | None = None
    loop = asyncio.get_running_loop()
    async for snapshot in client.progress(campaign):
        for counts in snapshot["channels"]:
            channel = counts["channel"]
            if channel not in tasks:
                tasks[channel] = bars.add_task(f"{campaign[:8]} {channel:5}", total=counts["total"], note="")
            done = counts["total"] - counts["queued"] - counts["retry"]
            note = ", ".join(f"{counts[w]} {w}" for w in ("delivered", "accepted", "failed", "unknown") if counts[w])
            bars.update(tasks[channel], completed=done, note=note)
        # A call that nobody answered is tried again after five minutes: the report does not wait for that.
        if not any(c["queued"] for c in snapshot["channels"]):
            sent_at = sent_at or loop.time()
            waiting = sum(c["accepted"] for c in snapshot["channels"] if c["channel"] == "sms")
            if snapshot["sealed"] or not waiting or loop.time() - sent_at > RECEIPTS_S:
                return


def _curl(out: Console, town: DemoEnvironment, client: DemoClient, campaigns: list[str]) -> None:
    key = f'-H "Authorization: Bearer $(cat {town.key_file("cic-demo")})"'
    out.print("\nTry it yourself, from this folder:\n", style="bold")
    lines = [
        f"curl -s {key} {client.url}/api/v1/whoami",
        f"curl -s {key} '{client.url}/api/v1/campaigns/{campaigns[0]}/deliveries?limit=3'" if campaigns else "",
        f"curl -s {key} {client.url}/api/v1/campaigns/{campaigns[0]}/report" if campaigns else "",
        f"curl -sN {key} {client.url}/api/v1/campaigns/{campaigns[0]}/progress" if campaigns else "",
        f"curl -s {client.url}/cap/feed.atom",
        f"curl -s {key} -H 'Content-Type: application/cap+xml' --data-binary @{town.folder}/alert.xml "
        f"{client.url}/cap/v1/alerts",
        f"curl -s {key} -H 'Content-Type: application/cap+xml' --data-binary @{town.folder}/alert.xml "
        f"{client.url}/cap/v1/validate",
        f"{_command()} status --config {town.folder}/tocsin.toml",
    ]
    for line in filter(None, lines):
        out.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
    out.print(f"\nThe API, to read and to try: {client.url}/api/docs", highlight=False, soft_wrap=True, markup=False)
