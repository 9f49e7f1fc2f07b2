"""The API's document holds: programs that know nothing else find no answer beyond it, and make clients that work."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import SENDER, Server, World, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(int(os.environ.get("SCHEMATHESIS_SECONDS", "60")) + 180)]

PEERS = Path(__file__).parents[1] / "peers"
BIN = PEERS / "api" / ".venv" / "bin"
TYPESCRIPT = PEERS / "typescript"
ACCOUNT = "everything"
SOMEBODY = "somebody"
"""Another account, about which something is noted."""
SYSTEM = "system"
"""An account that is there, for whatever is shown of accounts that come in."""
SECONDS = os.environ.get("SCHEMATHESIS_SECONDS", "60")
SEED = os.environ.get("SCHEMATHESIS_SEED", "7")
STREAMS = "stream|progress|events"
"""Their answers do not end; they have tests of their own."""
SETTINGS = """
[checks]
# A message may keep the schema and still be refused: for its zone, its money, its words; a version for another one.
positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 402, 403, 404, 409, 412, 422, 428, 429]
missing_required_header.expected-statuses = [400, 401, 403, 422, 428]
# From one address there are more routes to try a wrong key on than wrong keys a minute that are answered otherwise than
# with 429; tests/gateway/http/test_routes.py walks every one of them with a broken key.
[[operations]]
include-tag = "Account"
checks.ignored_auth.enabled = false
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=50, edit=_with_sms)
        actions = ("submit", "launch", "read", "stop", "publish", "operate", "administer")
        made.seed.append(made.account(ACCOUNT, [{"action": action} for action in actions], senders=[SENDER]))
        made.seed.append(made.account(SYSTEM, []))
        made.seed.append(made.account(SOMEBODY, [{"action": "read"}]))
        await made.smsc("first")
        await made.smtp()
        yield made


def _with_sms(line: dict) -> None:  # type: ignore[type-arg]
    if line["type"] == "zone":
        line["policy"] = {"news_channels": ["sms", "email"]}


@pytest.fixture
async def server(world: World) -> Server:
    server, _ = await world.up()
    return server


def require_peer(path: Path) -> None:
    if path.exists():
        return
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{path.name} is not installed: make peers")


async def said_by(*words: str | Path, cwd: Path, timeout_s: float = 150.0) -> tuple[int, str]:
    """A program's exit code and everything that it said."""
    process = await asyncio.create_subprocess_exec(
        *map(str, words), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(errors="replace")


async def document_of(world: World, server: Server, folder: Path) -> Path:
    status, body = await world.client(server, ACCOUNT).raw("/api/v1/openapi.json")
    assert status == 200
    path = folder / "openapi.json"
    path.write_bytes(body)
    return path


@pytest.mark.peer
async def test_whatever_a_program_makes_up_is_answered_as_the_document_says(
    world: World, server: Server, tmp_path: Path
) -> None:
    require_peer(BIN / "schemathesis")
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    given = ["-H", f"Authorization: Bearer {world.token(ACCOUNT)}", "-H", "Idempotency-Key: made-up"]

    code, said = await said_by(
        BIN / "schemathesis", "--config-file", "schemathesis.toml", "run", f"{server.url}/api/v1/openapi.json", *given,
        "--phases", "examples,coverage,fuzzing,stateful", "--max-time", SECONDS, "--seed", SEED,
        "--exclude-path-regex", STREAMS, "--continue-on-failure", "--no-color",
        cwd=tmp_path, timeout_s=float(SECONDS) + 120,
    )  # fmt: skip

    assert code == 0, said[-6_000:]


async def test_every_body_that_the_document_shows_does_what_it_says(world: World, server: Server) -> None:
    account = world.client(server, ACCOUNT)
    _, document = await account.get("/api/v1/openapi.json")
    made = {"/api/v1/accounts/{id}/keys": SYSTEM}  # the id of what was made under a path
    shown = 0
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                assert "example" in content, (method, path)
                if media_type in ("application/json", "application/cap+xml", "application/merge-patch+json"):
                    where = path.replace("{id}", made.get(path) or made.get(path.partition("/{id}")[0], "{id}"))
                    where = where.replace("{code}", SOMEBODY)
                    status, answer = await account.send(method, where, content["example"], media_type)
                    if "security" in operation:
                        # A session, or what opens one, is no document's to show: that the body is read is.
                        assert status in (200, 401, 403, 404), (method, path, answer)
                        continue
                    assert 200 <= status < 300, (method, path, answer)
                    made.setdefault(path.replace("/accounts/{id}", ""), str(answer.get("id") or answer.get("code")))
                    shown += 1

    assert shown >= 6


@pytest.mark.peer
async def test_a_python_client_made_of_the_document_launches_a_message(
    world: World, server: Server, tmp_path: Path
) -> None:
    require_peer(BIN / "openapi-python-client")
    document = await document_of(world, server, tmp_path)
    code, said = await said_by(
        BIN / "openapi-python-client", "generate", "--path", document, "--output-path", tmp_path / "made",
        "--meta", "none", "--config", _unformatted(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, said
    (tmp_path / "calls.py").write_text(_PYTHON_CALLS)

    code, said = await said_by(BIN / "python", "calls.py", server.url, world.token(ACCOUNT), cwd=tmp_path)

    assert code == 0, said
    await _is_launched(world, server, json.loads(said))


def _unformatted(folder: Path) -> Path:
    """The generator would run a formatter afterwards."""
    path = folder / "generator.yml"
    path.write_text("post_hooks: []\n")
    return path


_PYTHON_CALLS = """
import json, sys
from made import AuthenticatedClient
from made.api.account import operations_whoami
from made.api.campaigns import campaigns_launch
from made.api.operation import operations_limits
from made.models import Channel, Kind, MessageRequest, MessageText, Targets

client = AuthenticatedClient(sys.argv[1], sys.argv[2])
who = operations_whoami.sync(client=client)
limits = operations_limits.sync(client=client)
message = MessageRequest(
    zone="5301", kind=Kind.NEWS, title="Buurtfeest", channels=[Channel.SMS], terms_confirmed=True,
    texts=[MessageText(language="nl", sms="Buurtfeest zaterdag om 14 uur.")], targets=Targets(networks=["PLP-5301-1"]),
)
launched = campaigns_launch.sync(client=client, body=message, idempotency_key="from-python")
print(json.dumps({"account": who.account, "page": limits.account.page, "campaign": launched.campaign}))
"""


@pytest.mark.peer
async def test_a_typescript_client_made_of_the_document_launches_a_message(
    world: World, server: Server, tmp_path: Path
) -> None:
    require_peer(TYPESCRIPT / "node_modules" / "openapi-typescript")
    folder = tmp_path / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    for name in ("package.json", "three_calls.ts"):
        shutil.copy(TYPESCRIPT / name, folder)
    document = await document_of(world, server, folder)
    tools = folder / "node_modules" / ".bin"
    optional = ["--default-non-nullable", "false"]  # what has a default may be left out of a body
    code, said = await said_by(tools / "openapi-typescript", document, "-o", "api.d.ts", *optional, cwd=folder)
    assert code == 0, said
    strict = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--skipLibCheck"]
    node = ["--types", "node", "--typeRoots", "node_modules/@types"]
    code, said = await said_by(tools / "tsc", *strict, *node, "three_calls.ts", cwd=folder)
    assert code == 0, said

    code, said = await said_by("node", "three_calls.js", server.url, world.token(ACCOUNT), cwd=folder)

    assert code == 0, said
    await _is_launched(world, server, json.loads(said))


async def _is_launched(world: World, server: Server, said: dict[str, object]) -> None:
    assert (said["account"], said["page"]) == (ACCOUNT, 1000)
    page = await world.client(server, ACCOUNT).campaign(str(said["campaign"]))
    assert page["title"] == "Buurtfeest"
    assert page["progress"]["deliveries"] > 0
