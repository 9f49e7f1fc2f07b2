"""aiosmtplib at its best: connections held open, the mail's bytes made beforehand, uvloop, nothing remembered.

    python -m loadtest.bench.mailer --port PORT --count N --connections 16 --mail FILE

prints {"per_s": ..., "cpu_us": ...}.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiosmtplib


async def _connection(port: int, mail: bytes, numbers: Iterator[int]) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
    async with client:
        for n in numbers:
            await client.sendmail("bounce@bounces.example", [f"member{n}@example.org"], mail)


async def send(port: int, count: int, connections: int, mail: bytes) -> dict[str, float]:
    numbers = iter(range(count))
    started_s, cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(_connection(port, mail, numbers))
    took_s, used_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    return {"per_s": count / took_s, "cpu_us": 1e6 * used_s / count}


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.mailer", description="Sends with aiosmtplib.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--mail", type=Path, required=True)
    options = parser.parse_args()
    print(json.dumps(uvloop.run(send(options.port, options.count, options.connections, options.mail.read_bytes()))))


if __name__ == "__main__":
    main()
