"""The house rules that no type checker knows: layers, rights, settings, what may stand in a tracked file.

That the migrations make exactly the tables of the program is told in tests/store/test_schema.py, on both engines.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from channels.email.settings import SmtpSettings
from channels.simulated.carrier import SimulatedSettings
from channels.sms.smpp.settings import SmppSettings
from gateway.access.rights import Action
from gateway.http.route import Route
from gateway.http.routes import TABLE
from gateway.settings import Settings, read_settings, settings_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("cap", "channels", "store", "gateway", "loadtest")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project that git knows; those on disk where there is no git."""
    asked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = asked.stdout.decode().split("\0") if asked.returncode == 0 else []
    found = [ROOT / name for name in names if name]
    hidden = {".venv", "node_modules", "var"}
    found = found or [p for p in ROOT.rglob("*") if not hidden & set(p.relative_to(ROOT).parts)]
    return tuple(path for path in found if path.is_file())


def modules() -> list[Path]:
    return [p for p in tracked() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in PACKAGES]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ---- layers --------------------------------------------------------------------------------------------------------


def test_the_import_contracts_are_kept() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    checked = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_tests_and_the_product_are_apart() -> None:
    for path in modules():
        imported = {a.name for n in ast.walk(tree(path)) if isinstance(n, ast.Import) for a in n.names}
        imported |= {n.module or "" for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom)}
        assert not {m for m in imported if m.partition(".")[0] in ("tests", "pytest", "unittest")}, name(path)


# ---- routes --------------------------------------------------------------------------------------------------------

PUBLIC = {"/", "/healthz", "/readyz", "/api/v1/limits", "/api/v1/help", "/api/v1/openapi.json", "/api/docs",
          "/cap/feed.atom",
          "/cap/feed.rss", "/cap/active.geojson", "/cap/heartbeat.xml", "/cap/stream", "/cap/alerts/{id}.xml",
          "/cap/alerts/{id}/files/{sha256}", "/unsubscribe/{token}", "/assets/{version}/{name}",
          "/assets/licences", "/api/v1/sessions/password", "/api/v1/sessions/passkey/challenge",
          "/api/v1/sessions/passkey", "/api/v1/sessions/recovery", "/api/v1/invitations/accept", "/api/v1/resets",
          "/api/v1/resets/use", "/api/v1/break-glass", "/sign-in", "/invitation", "/reset", "/account",
          "/console/{version}/{name}"}  # fmt: skip
"""Whoever opens another route to everybody says so here, too."""

OWN = {"/api/v1/me", "/api/v1/me/keys/{id}/revoke"}
"""What everybody changes of himself, which raises nobody."""

BY_TOKEN = {"/unsubscribe/{token}", "/api/v1/break-glass"}
"""What is changed by whoever holds the token in its path or the code in its body, which names the one thing that it may
change."""

TO_COME_IN = {
    path for path in PUBLIC if path.startswith(("/api/v1/sessions/", "/api/v1/resets", "/api/v1/invitations/"))
}
"""By which nobody is let in who does not show a factor or a link of a mail."""


def plain(route: Route) -> str:
    return re.sub(r"\{(\w+):[^/]*\}\}?", r"{\1}", route.path)


@pytest.mark.parametrize("route", TABLE, ids=lambda r: f"{r.method} {plain(r)}")
def test_every_route_states_a_right_and_what_it_answers(route: Route) -> None:
    rights = route.right if isinstance(route.right, tuple) else (route.right,)
    assert rights
    assert all(right in ("public", "account", "session") or right in set(Action) for right in rights)
    assert route.face in ("inner", "outer")
    assert (route.right == "public") == (plain(route) in PUBLIC)
    if route.face == "outer":
        assert route.right == "public", "nobody has a key out there"
    if route.method != "GET" and plain(route) not in BY_TOKEN | OWN | TO_COME_IN:
        assert route.right not in ("public", "account"), "what changes something needs a right to it"
    assert route.summary
    assert (route.handler.__doc__ or "").endswith("."), "its docstring is what the API's document says of it"
    assert route.query.__struct_config__.forbid_unknown_fields
    assert not route.needs_match or route.method in ("PUT", "PATCH", "DELETE")
    assert route.method not in ("PUT", "PATCH", "DELETE") or route.needs_match or route.right == "session", (
        "what is somebody's own was changed by nobody else"
    )
    assert not route.while_locked or route.right == "session"
    assert not route.while_enrolling or route.right == "session" or route.recognises


def test_every_route_is_there_once_and_every_right_opens_one() -> None:
    places = [(route.method, plain(route)) for route in TABLE]
    assert len(places) == len(set(places))
    used = {right for route in TABLE for right in (route.right if isinstance(route.right, tuple) else (route.right,))}
    # Publishing is asked of what is posted, not of a route.
    assert set(Action) - {Action.PUBLISH} <= used


# ---- settings ------------------------------------------------------------------------------------------------------

SHOWN = ROOT / "config" / "tocsin.toml"
EXAMPLES = {
    "sms.carriers.first": SmppSettings,
    "email.carriers.relay": SmtpSettings,
    "voice.carriers.trunk": SimulatedSettings,
}
_PLACE = {"name", "channel", "mode"}
"""What a simulated carrier is told by where it stands in the file."""


@cache
def shown() -> dict[str, dict[str, Any]]:
    """Path of a table -> key -> value, with every "#" before a key taken away."""
    found: dict[str, dict[str, Any]] = {}
    here = ""
    for line in SHOWN.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("# ")
        if table := re.fullmatch(r"\[([a-z_.]+)\]", text):
            here = table[1]
            assert here not in found, f"[{here}] stands there twice"
            found[here] = {}
        elif re.match(r"[a-z_]+ = \S", text):
            found[here] |= tomllib.loads(text)
    return found


def tables(settings: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for field in msgspec.structs.fields(settings):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield f"{path}{field.name}", inner
            yield from tables(inner, f"{path}{field.name}.")


def scalars(settings: type[msgspec.Struct]) -> dict[str, Any]:
    """key -> default, of what is neither a table nor a dictionary of tables."""
    found = {}
    for field in msgspec.structs.fields(settings):
        default = field.default_factory() if field.default is msgspec.NODEFAULT and callable(
            field.default_factory) else field.default  # fmt: skip
        if not isinstance(default, msgspec.Struct | dict) and not _is_table(field.type):
            found[field.name] = list(default) if isinstance(default, tuple) else default
    return found


def _is_table(wanted: Any) -> bool:
    kinds = getattr(wanted, "__args__", (wanted,))
    return any(isinstance(kind, type) and issubclass(kind, msgspec.Struct) for kind in kinds)


@pytest.mark.parametrize(("path", "settings"), list(tables(Settings)), ids=lambda v: v if isinstance(v, str) else "")
def test_every_setting_stands_in_the_file_with_its_default_and_nothing_else_does(
    path: str, settings: type[msgspec.Struct]
) -> None:
    assert shown().get(path, {}) == scalars(settings)


@pytest.mark.parametrize("path", EXAMPLES)
def test_every_setting_of_a_carrier_is_shown(path: str) -> None:
    settings, given = EXAMPLES[path], dict(shown()[path])
    assert given.pop("type") == settings.__struct_config__.tag
    fields = {field.name: field for field in msgspec.structs.fields(settings)}
    assert set(given) <= set(fields), "no key that there is not"
    text = SHOWN.read_text(encoding="utf-8")
    told = {key for key in fields if re.search(rf"\b{key}\b", text)}
    assert set(fields) - told - _PLACE == set()
    for key, value in given.items():
        if value != "" and not fields[key].required and key != "password":
            assert value == msgspec.json.decode(msgspec.json.encode(fields[key].default)), f"{path}.{key}"


def test_no_table_is_shown_that_there_is_not() -> None:
    assert set(shown()) == {path for path, _ in tables(Settings)} | set(EXAMPLES)


def test_the_file_of_defaults_is_the_defaults() -> None:
    assert read_settings(SHOWN) == Settings()


def test_the_file_for_training_is_sound() -> None:
    read = read_settings(ROOT / "config" / "simulation.toml").simulation
    assert read.sms is not None
    assert read.email is not None
    assert read.voice is not None


def test_an_unknown_key_is_an_error_with_its_path() -> None:
    with pytest.raises(Exception, match=r"parks.*\$\.alerts"):
        settings_of({"alerts": {"parks": 1}})


# ---- modules -------------------------------------------------------------------------------------------------------

MUTATORS = {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
            "setdefault", "update"}  # fmt: skip


def test_every_module_says_what_it_is_for() -> None:
    assert [name(p) for p in modules() if not ast.get_docstring(tree(p))] == []


def test_no_module_keeps_state() -> None:
    """Tables are made once and read; nothing is kept between two calls but in an object that somebody holds.

    Locust's files are modules that it calls: they are the exception."""
    changed = []
    for path in (p for p in modules() if p.name != "locustfile.py"):
        own = {
            target.id
            for node in tree(path).body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        changed += [f"{name(path)}: global {n.names}" for n in ast.walk(tree(path)) if isinstance(n, ast.Global)]
        for function in ast.walk(tree(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                changed += [f"{name(path)}: {what}" for what in _changes(function, own)]
    assert changed == []


def _changes(function: ast.FunctionDef | ast.AsyncFunctionDef, own: set[str]) -> Iterator[str]:
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    arguments = {a.arg for a in (*function.args.args, *function.args.kwonlyargs, *function.args.posonlyargs)}
    own = own - stored - arguments
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) and _named(node.value, own):
            yield f"{function.name} stores into {ast.unparse(node.value)}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATORS
            and _named(node.func.value, own)
        ):
            yield f"{function.name} calls {ast.unparse(node.func)}"


def _named(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def test_no_task_is_started_and_forgotten() -> None:
    forgotten = []
    for path in modules():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func)
                if called.endswith(("ensure_future", "loop.create_task", "asyncio.create_task")):
                    forgotten.append(f"{name(path)}:{node.lineno}")
    assert forgotten == []


# ---- tracked files -------------------------------------------------------------------------------------------------

# In pieces, so that this file does not find itself.
FOREIGN = re.compile("|".join([
    r"(?<![\w.])/" + r"work/", "/" + "root/", "pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs",
    r"\bTO" + "DO\\b", r"\bFIX" + "ME\\b", "mock" + r"\.patch",
]))  # fmt: skip


def test_no_tracked_file_names_a_place_of_its_makers_a_package_host_or_an_unfinished_thing() -> None:
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if FOREIGN.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_no_tracked_file_is_a_key_a_store_or_a_library_of_others() -> None:
    odd = [
        name(p)
        for p in tracked()
        if p.suffix in (".db", ".key", ".pem", ".min.js", ".whl", ".sqlite") or "node_modules" in p.parts
    ]
    assert odd == []


def test_a_class_name_has_one_meaning() -> None:
    """In the product and its load tests: a public class of one name stands in one module."""
    found: dict[str, set[str]] = {}
    for folder in ("cap", "channels", "store", "gateway", "loadtest"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, set()).add(str(path.relative_to(ROOT)))

    assert {name: sorted(where) for name, where in found.items() if len(where) > 1} == {}


def test_no_possessive_quantifier_stands_behind_a_group() -> None:
    """CPython issue 106052: up to 3.11.4, which Debian 12 has, such a group keeps what its last try had taken before it
    failed. Behind a single character or a class they are sound."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for part in ("cap", "channels", "store", "gateway", "loadtest")
        for path in (ROOT / part).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\)(?:[*+?]|\{[0-9,]+\})\+", line) and re.search(r"""\br[f]?["']|\bf?r["']|_compile|re\.""", line)
    ]
    assert found == []


def test_a_pattern_of_a_value_ends_where_the_value_does() -> None:
    r"""Python's `$` lets a line feed follow: an account "admin\n" beside "admin" would be two that look alike."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.keyword)
        and node.arg == "pattern"
        and ast.unparse(node.value).rstrip("'\"").endswith("$")
    ]
    assert found == []
