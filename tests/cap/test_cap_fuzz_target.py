"""The search for documents that harm the reader finds those that do, and keeps them."""

import pytest

from tests.cap.fuzz import main, search

READERS = {
    "died": "import os, sys; sys.stdin.readline(); os._exit(139)",
    "raised": "import sys\nfor line in sys.stdin: print('raised', 0.0, 'ValueError()', flush=True)",
    "3.000 s": "import sys\nfor line in sys.stdin: print('refused', 3.0, '-', flush=True)",
}


def test_a_second_of_damage_finds_nothing(tmp_path, capsys):
    assert main(["--seconds", "1", "--seed", "7", "--keep", str(tmp_path)]) == 0

    assert "seed 7" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", READERS)
def test_a_document_that_harms_the_reader_is_kept_and_named(tmp_path, harm):
    _, findings = search(0.3, 7, tmp_path, READERS[harm])

    assert findings
    path, _, text = findings[0].partition(": ")
    assert harm in text
    assert path in {str(kept) for kept in tmp_path.iterdir()}
