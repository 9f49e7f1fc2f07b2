"""What is passed on links its files and encloses none; nothing else of it changes."""

import hashlib
from dataclasses import replace

from cap import check, read
from cap.forward import enclosed, forwarded, has_contents
from tests.cap.documents import BASE, changed

URI = "<uri>https://zone-a.example/17.png</uri>"


def alert(markup):
    return read(changed((URI, markup))).alert


def test_an_alert_without_enclosed_files_is_passed_on_as_it_is():
    given = read(BASE.encode()).alert

    assert forwarded(given) is given
    assert not has_contents(given)


def test_an_enclosed_file_with_an_address_keeps_the_address():
    passed = forwarded(alert(URI + "<derefUri>YWJj</derefUri>"))

    assert passed == read(BASE.encode()).alert
    assert not has_contents(passed)


def test_an_enclosed_file_without_an_address_of_its_own_is_given_one():
    for markup in ("<uri>17.png</uri><derefUri>YWJj</derefUri>", "<derefUri>YWJj</derefUri>"):
        given = alert(markup)
        passed = forwarded(given, lambda sha256: f"https://hub.example/{sha256}")

        sha256 = hashlib.sha256(b"abc").hexdigest()
        assert passed.infos[0].resources[0].uri == f"https://hub.example/{sha256}"
        assert enclosed(given, sha256) == given.infos[0].resources[0]
        assert enclosed(given, "0" * 64) is None
        assert replace(passed, infos=()) == replace(given, infos=())


def test_what_is_passed_on_breaks_no_rule_that_it_kept_before():
    given = alert("<uri>17.png</uri><derefUri>YWJj</derefUri>")

    assert check(given) == []
    assert check(forwarded(given)) == []
