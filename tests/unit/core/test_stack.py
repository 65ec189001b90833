from __future__ import annotations

from pathlib import Path

import pytest

from smartlearn.core.errors import StackError
from smartlearn.core.settings import Settings
from smartlearn.core.stack import Component, StackRecord, with_stack


def record() -> StackRecord:
    return StackRecord(
        pid=7,
        mode="embedded",
        kafka="127.0.0.1:9092",
        kafka_epoch="start-1",
        dashboard="http://127.0.0.1:8050",
        workers=2,
        components=[Component(name="worker-1", pid=8, state="running")],
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record().write(tmp_path)
    assert StackRecord.read(tmp_path) == record()
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_a_directory_without_a_stack_has_no_record(tmp_path: Path) -> None:
    assert StackRecord.read(tmp_path) is None
    assert StackRecord.read(tmp_path / "gone") is None


@pytest.mark.parametrize("content", ["", "{}", '{"pid": 1', "[]"])
def test_something_else_in_its_place_is_an_error_that_says_what_to_do(tmp_path: Path, content: str) -> None:
    StackRecord.path(tmp_path).write_text(content)
    with pytest.raises(StackError, match="is not the record of a stack: remove it once no stack runs there"):
        StackRecord.read(tmp_path)


def test_a_data_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot be read: Not a directory"):
        StackRecord.read(tmp_path / "file")


def test_settings_without_a_broker_take_the_stacks(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert with_stack(settings) is settings
    record().write(tmp_path)
    kafka = with_stack(settings).kafka
    assert (kafka.bootstrap_servers, kafka.epoch) == ("127.0.0.1:9092", "start-1")


def test_settings_with_a_broker_keep_theirs(tmp_path: Path) -> None:
    record().write(tmp_path)
    settings = Settings.model_validate({"data_dir": tmp_path, "kafka": {"bootstrap_servers": "kafka:9092"}})
    assert with_stack(settings).kafka.bootstrap_servers == "kafka:9092"
