from __future__ import annotations

import json

import pytest

from smartlearn.ops import render
from smartlearn.ops.render import Format, print_rows

ROWS = [{"time": "t1", "node": "a", "cpu": 0.123456, "pid": 12345}, {"time": "t2", "cpu": 1234567.0, "note": "x,y"}]


def test_json_has_a_row_a_line_and_only_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Format.JSON)
    out = capsys.readouterr().out
    assert json.loads(out) == ROWS
    assert len(out.splitlines()) == len(ROWS) + 2
    print_rows([], Format.JSON)
    assert capsys.readouterr().out == "[]\n"


def test_long_json_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(({"n": n} for n in range(2500)), Format.JSON)
    assert json.loads(capsys.readouterr().out) == [{"n": n} for n in range(2500)]


def test_csv_has_every_column_that_appears(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Format.CSV)
    assert capsys.readouterr().out.splitlines() == [
        "time,node,cpu,pid,note",
        "t1,a,0.123456,12345,",
        't2,,1234567.0,,"x,y"',
    ]
    print_rows([], Format.CSV, columns=("a", "b"))
    assert capsys.readouterr().out == "a,b\n"


def test_a_table_aligns_numbers_and_leaves_identifiers_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Format.TABLE)
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert words == [
        ["time", "node", "cpu", "pid", "note"],
        ["t1", "a", "0.1235", "12345", "–"],
        ["t2", "–", "1,234,567", "–", "x,y"],
    ]


def test_an_empty_table_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], Format.TABLE)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "nothing found\n")


def test_columns_that_do_not_fit_are_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_PIPED_WIDTH", 20)
    print_rows([{"first": "1234567890", "second": "1234567890", "third": "1"}], Format.TABLE)
    out, err = capsys.readouterr()
    assert "second" not in out
    assert "1234567890" in out
    assert "second, third" in err.replace("\n", " ")


def test_a_long_table_ends_and_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "TABLE_ROWS", 2)
    print_rows([{"n": n} for n in range(5)], Format.TABLE)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "3 more rows" in err
