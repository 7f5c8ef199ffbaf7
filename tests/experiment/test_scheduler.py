"""The progress of a suite is read from files that others are writing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from reasonenv.experiment.scheduler import RowCounter


@given(st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"a", b"\n")), max_size=8))
def test_rows_are_counted_as_they_come_and_once(pieces: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        counter, counted = RowCounter(path), 0
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            counted += counter.new_rows()
        # the first row is from before the first iteration
        assert counted == max(0, b"".join(pieces).count(b"\n") - 1)


def test_a_file_that_is_missing_or_was_cut_has_no_new_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    counter = RowCounter(path)
    assert counter.new_rows() == 0
    path.write_bytes(b"0\n1\n2\n")
    assert counter.new_rows() == 2
    path.write_bytes(b"0\n")  # a cell that was killed goes on from its checkpoint, and cuts what came after it
    assert counter.new_rows() == 0
