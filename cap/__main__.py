"""`python -m cap check|explain|sign|verify|convert`: CAP documents at the shell, for people and for programs.

Status 0: all is well. 1: a document is refused, or a signature does not hold. 2: bad usage, or a file that cannot be
used. Files are named, or - for standard input. The only place of `cap` that opens files and asks for the time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cap import commands
from cap.commands import GOOD, UNUSABLE, Done, UnusableInput
from cap.limits import DEFAULT
from cap.profile import NAMES, Profile, profile
from cap.rules import RULES
from cap.terms import ReadingTerms
from cap.translations import LANGUAGES
from cap.versions import VERSIONS

Arguments = argparse.Namespace


def main(argv: Sequence[str]) -> int:
    """Do what the arguments say and return the status. Raises nothing."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as exc:
        return UNUSABLE if exc.code else GOOD
    try:
        status: int = arguments.run(arguments)
    except (UnusableInput, OSError) as exc:
        print(f"cap: {exc}", file=sys.stderr)
        return UNUSABLE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cap", description="Check, explain, sign, verify and convert CAP 1.2 alerts.")
    choices = parser.add_subparsers(required=True, metavar="COMMAND")

    check = choices.add_parser("check", help="parse, validate by the schema and by every rule")
    check.add_argument("--language", default="en", choices=LANGUAGES, help="of the problems")
    _add_terms(check)
    _add_files(check)
    check.set_defaults(run=_check)

    explain = choices.add_parser("explain", help="what rules say, where they are from and how to mend a breach")
    explain.add_argument("--language", default="en", choices=LANGUAGES, help="of what rules say")
    explain.add_argument("--json", action="store_true", help="one JSON object a line for each rule")
    _add_profiles(explain)
    explain.add_argument("rules", nargs="*", metavar="RULE", help="ids of rules; none: all of them")
    explain.set_defaults(run=_explain)

    sign = choices.add_parser("sign", help="sign an alert (ECDSA or RSA, SHA-256); the document goes to the output")
    sign.add_argument("--key", required=True, metavar="PEM", help="the private key, not encrypted")
    sign.add_argument("--certificate", required=True, metavar="PEM", help="the certificate of that key")
    sign.add_argument("file", metavar="FILE", help="a document, or -")
    sign.set_defaults(run=_sign)

    verify = choices.add_parser("verify", help="whether signatures hold for a sender")
    verify.add_argument("--certificate", metavar="PEM", help="the sender's own certificates")
    verify.add_argument("--authority", metavar="PEM", help="authorities that vouch for the sender's names")
    verify.add_argument(
        "--name", action="append", default=[], help="a name of the sender, with --authority; repeatable"
    )
    verify.add_argument("--at", metavar="TIME", help="when the certificates must be valid, as CAP writes it; now")
    _add_files(verify)
    verify.set_defaults(run=_verify)

    convert = choices.add_parser("convert", help="CAP XML, its JSON form or an EDXL-DE envelope to another form")
    convert.add_argument("--to", required=True, choices=tuple(commands.FORMS))
    _add_terms(convert)
    convert.add_argument("file", metavar="FILE", help="a document, or -")
    convert.set_defaults(run=_convert)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a document, or - for standard input")


def _add_terms(parser: argparse.ArgumentParser) -> None:
    versions = sorted(VERSIONS.values())
    parser.add_argument("--allow", action="append", default=[], choices=versions, help="an older version to read too")
    _add_profiles(parser)


def _add_profiles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", action="append", default=[], choices=NAMES, help="a profile with rules of its own")


def _check(arguments: Arguments) -> int:
    terms = _terms(arguments)
    wish = arguments.language
    return max(_checked(file, terms, as_json=arguments.json, language=wish) for file in arguments.files)


def _checked(file: str, terms: ReadingTerms, *, as_json: bool, language: str) -> int:
    try:
        done = commands.check(file, _content(file), terms, as_json=as_json, language=language)
    except (OSError, UnusableInput) as exc:
        done = commands.unreadable(file, str(exc), as_json=as_json)
    return _show(done)


def _explain(arguments: Arguments) -> int:
    table = (*RULES, *(rule for held in _profiles(arguments) for rule in held.rules))
    return _show(commands.explain(arguments.rules, table, language=arguments.language, as_json=arguments.json))


def _sign(arguments: Arguments) -> int:
    key, certificate = _content(arguments.key), _content(arguments.certificate)
    return _show(commands.sign(_content(arguments.file), key, certificate))


def _verify(arguments: Arguments) -> int:
    pinned, authorities = (_content(pem) if pem else b"" for pem in (arguments.certificate, arguments.authority))
    trust = commands.trust(pinned, authorities, arguments.name)
    at = commands.instant(arguments.at) if arguments.at else datetime.now(UTC)
    return max(
        _show(commands.verify(file, _content(file), trust, at, as_json=arguments.json)) for file in arguments.files
    )


def _convert(arguments: Arguments) -> int:
    return _show(commands.convert(_content(arguments.file), arguments.to, _terms(arguments)))


def _terms(arguments: Arguments) -> ReadingTerms:
    return ReadingTerms(versions=frozenset({"1.2", *arguments.allow}), profiles=_profiles(arguments))


def _profiles(arguments: Arguments) -> tuple[Profile, ...]:
    return tuple(profile(name) for name in arguments.profile)


def _content(file: str) -> bytes:
    if "\0" in file:
        raise UnusableInput(f"no file has the name {file!r}")
    # One byte more than the limit is enough to see that it is broken.
    if file == "-":
        return sys.stdin.buffer.read(DEFAULT.max_bytes + 1)
    with Path(file).open("rb") as stream:
        return stream.read(DEFAULT.max_bytes + 1)


def _show(done: Done) -> int:
    sys.stdout.buffer.write(done.output)
    sys.stdout.buffer.flush()
    return done.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
