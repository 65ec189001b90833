from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode, encode_batch
from smartlearn.core.errors import InvalidExport, SettingsError
from smartlearn.core.identity import stored_time
from smartlearn.core.pseudonyms import Pseudonymizer
from smartlearn.core.settings import KafkaSettings, RetentionSettings, Settings, StoreSettings
from smartlearn.producers.importer import ImportReport, import_files

START = datetime(2025, 8, 15, 13, 0, tzinfo=UTC)
NOW_US = int((START + timedelta(days=2)).timestamp() * 1_000_000)


def when(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def performance(seconds: float, **fields: Any) -> dict[str, Any]:
    return {"timestamp": when(seconds), "cpu_usage": seconds % 100, "memory_usage": 50.0, **fields}


def training(step: int, **fields: Any) -> dict[str, Any]:
    return {"timestamp": when(step), "epoch": 1, "step": step, "training_loss": 1.0, "learning_rate": 0.1, **fields}


def user(seconds: float, user_id: str = "user_1", **fields: Any) -> dict[str, Any]:
    return {
        "timestamp": when(seconds), "user_id": user_id, "action": "quiz", "subject": "biology",
        "difficulty": "advanced", "response_time": 10.0, "accuracy": 0.5, "engagement_score": 5.0, **fields,
    }  # fmt: skip


class Sent:
    """What an import sent, instead of sending it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[Batch] = []
        monkeypatch.setattr("smartlearn.producers.importer.send_all", self.send_all)

    def send_all(self, kafka: KafkaSettings, batches: Iterable[Batch], *_: object, **__: object) -> dict[Any, int]:
        for batch in batches:
            # What a worker will see.
            self.batches.append(decode(encode_batch(batch), kind=batch.kind, topic_boot="", partition=0, offset=0))
        return {("topic", 0): len(self.batches) - 1}

    def of(self, kind: Kind) -> list[Batch]:
        return [batch for batch in self.batches if batch.kind is kind]

    def points(self) -> set[tuple[Any, ...]]:
        """What tells stored points apart, and their numbers."""
        found = set()
        for batch in self.batches:
            time, _ = stored_time(batch)
            for row in range(len(batch)):
                texts = tuple(c if isinstance(c, str) else c[row] for _, c in sorted(batch.texts.items()))
                numbers = tuple((name, float(column[row])) for name, column in sorted(batch.numbers.items()))
                found.add((batch.kind, batch.key, texts, int(time[row]), numbers))
        return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


class Files:
    """Writes exports, and imports them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder / "data")

    def write(
        self, name: str, p: list[Any] | None = None, t: list[Any] | None = None, u: list[Any] | None = None
    ) -> Path:
        path = self.folder / name
        path.write_text(
            json.dumps({"performance_metrics": p or [], "training_metrics": t or [], "user_metrics": u or []})
        )
        return path

    def read(self, *paths: Path, **options: Any) -> ImportReport:
        return import_files(self.settings, paths, now_us=NOW_US, **options)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_record_is_sent_once_under_the_default_names(files: Files, sent: Sent) -> None:
    path = files.write("a.json", [performance(n) for n in range(5)], [training(n) for n in range(3)], [user(1)])
    report = files.read(path)
    assert report.rows == {Kind.PERFORMANCE: 5, Kind.TRAINING: 3, Kind.INTERACTION: 1}
    assert {batch.key for batch in sent.batches} == {"import"}
    assert {batch.source for batch in sent.batches} == {"import"}
    assert all(batch.imported for batch in sent.batches)
    assert sent.of(Kind.TRAINING)[0].texts == {"run": "import", "node": "import"}


def test_times_without_a_zone_are_utc(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", [performance(0.5)]))
    assert sent.batches[0].timestamp.tolist() == [int(START.timestamp()) * 1_000_000 + 500_000]


def test_node_and_run_can_be_named(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", [performance(1)], [training(1)]), node="lab-1", run="night")
    assert [batch.key for batch in sent.batches] == ["lab-1", "night"]
    assert sent.of(Kind.TRAINING)[0].texts == {"run": "night", "node": "lab-1"}


def test_each_key_is_sent_in_the_order_of_time(files: Files, sent: Sent) -> None:
    late = files.write("late.json", [performance(n) for n in (900, 700, 800)])
    early = files.write("early.json", [performance(n) for n in (30, 10, 20)])
    files.read(late, early)
    times = np.concatenate([batch.timestamp for batch in sent.batches])
    assert np.all(np.diff(times) > 0)


def test_a_large_file_is_cut_into_batches(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", [performance(n) for n in range(1201)]))
    assert [len(batch) for batch in sent.batches] == [500, 500, 201]


def test_users_become_pseudonyms_and_pseudonyms_stay(files: Files, sent: Sent) -> None:
    known = "p1_01234567_" + "ab" * 16
    files.read(files.write("a.json", u=[user(1, "Ada"), user(2, "Bob"), user(3, "Ada"), user(4, known)]))
    of = Pseudonymizer(files.settings.key_file.read_bytes()).of
    (batch,) = sent.batches
    assert list(batch.texts["learner"]) == [of("Ada"), of("Bob"), of("Ada"), known]


def test_no_key_is_needed_or_made_without_users(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", [performance(1)]))
    assert not files.settings.key_file.exists()
    assert sent.batches


def test_the_same_file_and_its_parts_are_the_same_points(files: Files, sent: Sent) -> None:
    steps = [{**training(n), "timestamp": when(n // 4)} for n in range(400)]
    users = [user(n // 50, f"user_{n % 7}") for n in range(400)]
    files.read(files.write("whole.json", [performance(n) for n in range(300)], steps, users))
    whole = sent.points()
    assert len(whole) == 1100
    files.read(files.write("again.json", [performance(n) for n in range(300)][::-1], steps[::-1], users[::-1]))
    files.read(files.write("part.json", [performance(n) for n in range(100, 200)], steps[100:300]))
    assert sent.points() == whole


def test_equal_records_are_different_events(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", u=[user(1)] * 20))
    assert len(sent.points()) == 20


def test_ten_thousand_records_of_one_second_keep_their_exact_time(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", u=[user(5, f"user_{n}") for n in range(10_000)]))
    assert len(sent.points()) == 10_000
    assert {time for batch in sent.batches for time in stored_time(batch)[1].tolist()} == {
        (START.timestamp() + 5) * 1e6
    }


def test_losses_that_are_not_finite_arrive_as_such(files: Files, sent: Sent) -> None:
    losses = ["NaN", "Infinity", "-Infinity", 1.0]
    files.read(files.write("a.json", t=[training(n, training_loss=loss) for n, loss in enumerate(losses)]))
    (batch,) = sent.batches
    assert batch.nonfinite["training_loss"].tolist() == [1, 2, 3, 0]


def test_a_value_that_is_absent_and_one_that_is_nan_are_different_events(files: Files, sent: Sent) -> None:
    files.read(files.write("a.json", t=[training(1, validation_loss=None), training(1, validation_loss="NaN")]))
    (batch,) = sent.batches
    assert batch.place is not None
    assert len(set(batch.place.tolist())) == 2


def test_of_two_files_with_one_at_fault_nothing_is_sent(files: Files, sent: Sent) -> None:
    good = files.write("good.json", [performance(1)])
    bad = files.write("bad.json", [performance(1), performance(2, cpu_usage=-1)])
    with pytest.raises(InvalidExport, match=r"bad.json.*record 2.*cpu_usage"):
        files.read(good, bad)
    assert sent.batches == []


def test_records_of_the_future_are_refused(files: Files, sent: Sent) -> None:
    path = files.write("a.json", [performance(1), performance(3 * 86_400)])
    with pytest.raises(InvalidExport, match=r"record 2.*future"):
        files.read(path)
    assert sent.batches == []


@pytest.mark.parametrize(
    ("setting", "arrays"),
    [
        ("raw_days", {"p": [performance(2 * 86_400), performance(1)]}),
        ("training_days", {"t": [training(1)]}),
        ("interactions_days", {"u": [user(1)]}),
    ],
)
def test_records_older_than_a_finite_retention_are_refused_by_the_settings_name(
    files: Files, sent: Sent, setting: str, arrays: dict[str, Any]
) -> None:
    retention = RetentionSettings(**{setting: 1.0})
    files.settings = files.settings.model_copy(update={"store": StoreSettings(retention=retention)})
    with pytest.raises(SettingsError, match=rf"retention\.{setting}.*SMARTLEARN_STORE__RETENTION__{setting.upper()}"):
        files.read(files.write("a.json", **arrays))
    assert sent.batches == []


def test_more_records_of_one_microsecond_than_there_is_room_for_are_refused(files: Files, sent: Sent) -> None:
    path = files.write("a.json", u=[user(0.000001, f"user_{n}") for n in range(1001)])
    with pytest.raises(InvalidExport, match="user_metrics"):
        files.read(path)
    assert sent.batches == []


def test_a_server_without_the_key_of_its_nodes_is_said(files: Files, sent: Sent) -> None:
    files.settings = files.settings.model_copy(update={"kafka": KafkaSettings(bootstrap_servers="kafka.example:9092")})
    with pytest.raises(SettingsError, match="pseudonym key"):
        files.read(files.write("a.json", u=[user(1)]))
    assert sent.batches == []
