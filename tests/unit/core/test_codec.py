from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode, encode_batch
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.schemas import MAX_ROWS

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z in µs
Y2200 = 7_258_118_400_000_000  # 2200-01-01T00:00:00Z in µs
NOT_A_NUMBER = "must be a number, or one of the texts NaN, Infinity and -Infinity"
IMPORTED = {"source": "import", "seq": None, "boot": None}
LEARNER = "p1_0123abcd_" + "0123456789abcdef" * 2
SAMPLE: dict[str, Any] = {"timestamp": "2026-01-01T12:00:00Z", "node": "node-1", "cpu_usage": 50}
STEP: dict[str, Any] = {
    "timestamp": "2026-01-01T12:00:00Z", "run": "run-1", "node": "node-1",
    "epoch": 1, "step": 20, "training_loss": 0.5, "learning_rate": 1e-4,
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "timestamp": "2026-01-01T12:00:00Z", "learner": LEARNER, "action": "quiz", "subject": "physics",
    "difficulty": "beginner", "response_time": 900, "accuracy": 0, "engagement_score": 7.5,
}  # fmt: skip
START: dict[str, Any] = {
    "timestamp": "2026-01-01T12:00:00Z", "run": "run-1", "node": "node-1", "type": "start",
}  # fmt: skip
NOTE: dict[str, Any] = {"timestamp": "2026-01-01T12:00:00Z", "text": "deployed\nv2", "scope": "node-1"}
EVENTS = {
    Kind.PERFORMANCE: SAMPLE,
    Kind.TRAINING: STEP,
    Kind.INTERACTION: ANSWER,
    Kind.RUN: START,
    Kind.ANNOTATION: NOTE,
}


def take(message: Any, kind: Kind = Kind.PERFORMANCE) -> Batch:
    value = message if isinstance(message, bytes) else json.dumps(message).encode()
    return decode(value, kind=kind, topic_boot="topic-id", partition=3, offset=41)


def refusal(message: Any, kind: Kind = Kind.PERFORMANCE) -> str:
    with pytest.raises(InvalidMessage) as caught:
        take(message, kind)
    return str(caught.value)


def envelope(kind: Kind = Kind.PERFORMANCE, **columns: Any) -> dict[str, Any]:
    return {"v": 1, "kind": kind.value, "source": "node-1", "boot": "b-1", "seq": 7, "columns": columns}


def samples(**columns: Any) -> dict[str, Any]:
    return envelope(**({"timestamp": [NOON, NOON + 1, NOON + 2], "node": "node-1", "cpu_usage": [1, 2, 3]} | columns))


class TestRow:
    def test_takes_its_identity_from_where_it_first_arrived(self) -> None:
        batch = take(SAMPLE)
        assert (batch.source, batch.boot, batch.seq, batch.place) == ("external", "topic-id/3", 41, None)
        assert not batch.imported

    @pytest.mark.parametrize(
        ("kind", "key"),
        [
            (Kind.PERFORMANCE, "node-1"),
            (Kind.TRAINING, "run-1"),
            (Kind.INTERACTION, LEARNER),
            (Kind.RUN, "run-1"),
            (Kind.ANNOTATION, "node-1"),
        ],
    )
    def test_has_the_key_of_its_kind(self, kind: Kind, key: str) -> None:
        assert take(EVENTS[kind], kind).key == key

    @pytest.mark.parametrize(
        ("stamp", "microseconds"),
        [
            ("2026-01-01T12:00:00Z", 0),
            ("2026-01-01T12:00:00", 0),
            ("2026-01-01t12:00:00z", 0),
            ("2026-01-01 13:00:00+01:00", 0),
            ("2026-01-01T02:30:00-09:30", 0),
            ("2026-01-01T12:00:00.25Z", 250_000),
            ("2026-01-01T12:00:00.000001", 1),
            ("2026-01-01T12:00:00.123456789Z", 123_456),
        ],
    )
    def test_reads_rfc_3339_and_takes_a_time_without_a_zone_for_utc(self, stamp: str, microseconds: int) -> None:
        assert take(SAMPLE | {"timestamp": stamp}).timestamp.tolist() == [NOON + microseconds]

    @pytest.mark.parametrize(
        "stamp",
        ["", "yesterday", "2026-01-01", "20260101T120000Z", "2026-13-01T12:00:00Z", "2026-01-01T12:00:00+25:00",
         "2026-01-01T12:00:00,5Z", "٢٠٢٦-01-01T12:00:00Z", "2026-01-01T12:00:00Z\n", 1_767_268_800, None, True, [], {}],
    )  # fmt: skip
    def test_with_another_time_is_refused(self, stamp: Any) -> None:
        assert refusal(SAMPLE | {"timestamp": stamp}).startswith("timestamp must be ")

    @pytest.mark.parametrize(
        "stamp", ["1969-12-31T23:59:59.999999Z", "2200-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"]
    )
    def test_outside_the_years_of_the_contract_is_refused(self, stamp: str) -> None:
        assert refusal(SAMPLE | {"timestamp": stamp}) == "timestamp must lie in the years 1970 to 2199"

    def test_holds_its_metrics_by_their_bare_names(self) -> None:
        batch = take(SAMPLE | {"metrics": {"disk_read": 12.5, "fan": None}})
        assert {name: column.tolist() for name, column in batch.numbers.items()} == {
            "cpu_usage": [50.0],
            "disk_read": [12.5],
        }

    def test_keeps_what_is_not_finite_as_a_code(self) -> None:
        batch = take(
            STEP | {"training_loss": "NaN", "learning_rate": "-Infinity", "validation_loss": "Infinity"}, Kind.TRAINING
        )
        assert {name: codes.tolist() for name, codes in batch.nonfinite.items()} == {
            "training_loss": [1],
            "learning_rate": [3],
            "validation_loss": [2],
        }
        assert np.isnan(batch.numbers["training_loss"]).all()

    def test_with_only_a_number_that_is_not_finite_says_something(self) -> None:
        assert take(SAMPLE | {"cpu_usage": "NaN"}).nonfinite["cpu_usage"].tolist() == [1]

    def test_with_null_for_an_optional_field_is_taken_as_without_it(self) -> None:
        batch = take(SAMPLE | {"gpu": None, "memory_usage": None, "metrics": None})
        assert (set(batch.numbers), set(batch.texts)) == ({"cpu_usage"}, {"node"})

    def test_of_a_run_has_a_payload_as_json_text(self) -> None:
        assert take(START, Kind.RUN).texts["payload"] == "{}"
        assert take(START | {"payload": {"lr": [1, {"a": None}]}}, Kind.RUN).texts["payload"] == '{"lr":[1,{"a":null}]}'

    def test_keeps_the_last_of_duplicate_names(self) -> None:
        text = json.dumps(SAMPLE)[:-1] + ', "cpu_usage": 70}'
        assert take(text.encode()).numbers["cpu_usage"].tolist() == [70.0]


class TestRowRefusal:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"cpu_usage": 140}, "cpu_usage is 140 and must be between 0 and 100"),
            ({"cpu_usage": -0.5}, "cpu_usage is -0.5 and must be between 0 and 100"),
            ({"gpu_memory_used": -1}, "gpu_memory_used is -1 and must be at least 0"),
            ({"user_engagement": 0.5}, "user_engagement is 0.5 and must be between 1 and 10"),
            ({"cpu_usage": True}, "cpu_usage must be a number, not a boolean"),
            ({"cpu_usage": "50"}, f"cpu_usage {NOT_A_NUMBER}"),
            ({"cpu_usage": {}}, "cpu_usage must be a number, not an object"),
            ({"cpu_usage": [50]}, "cpu_usage must not be a list in a single event"),
            ({"metrics": {"x": [50]}}, "metrics.x must not be a list in a single event"),
            ({"metrics": [50]}, "metrics must be an object, not a list"),
            ({"metrics": []}, "metrics must be an object, not a list"),
            ({"metrics": False}, "metrics must be an object, not a boolean"),
            ({"metrics": 5}, "metrics must be an object, not 5"),
            ({"metrics": {"x": "fast"}}, f"x {NOT_A_NUMBER}"),
            ({"metrics": {"Disk": 1}}, "the metric 'Disk' must be 1 to 64 of a-z, 0-9 and _, a letter first"),
            ({"metrics": {"cpu_usage": 1}}, "the metric 'cpu_usage' is a name that the contract uses itself"),
            ({"metrics": {"x_nonfinite": 1}}, "the metric 'x_nonfinite' is a name that the contract uses itself"),
            ({"metrics": {"gpu_memory": 1}}, "the metric 'gpu_memory' is a name that the contract uses itself"),
            ({"metrics": {f"m{i}": i for i in range(201)}}, "a performance event may have 200 metrics, and has 201"),
            ({"metrics.x": 5}, "a performance event has no field metrics.x"),
            ({"temperature": 5}, "a performance event has no field temperature"),
            ({"b": 5, "a": None}, "a performance event has no fields a, b"),
            ({f"f{i}": i for i in range(9)}, "a performance event has no fields f0, f1, f2, f3, f4 and 4 more"),
            ({"node": ""}, "node must have 1 to 200 characters, and has 0"),
            ({"node": "n" * 201}, "node must have 1 to 200 characters, and has 201"),
            ({"node": 7}, "node must be a text, not 7"),
            ({"node": 7.5}, "node must be a text, not 7.5"),
            ({"node": None}, "a performance event must have node"),
            ({"gpu": "a\tb"}, "gpu must not hold control characters"),
            ({"gpu": "a\\"}, "gpu must not end in a backslash"),
            ({"cpu_usage": None}, "a performance event must have at least one number"),
        ],
    )  # fmt: skip
    def test_of_a_sample_names_the_field_and_the_rule(self, change: dict[str, Any], sentence: str) -> None:
        assert refusal(SAMPLE | change) == sentence

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"step": 2.5}, "step is 2.5 and must be a whole number"),
            ({"step": -1}, "step is -1 and must be between 0 and 2**53"),
            ({"step": 2**53}, "step is 9007199254740992 and must be between 0 and 2**53"),
            ({"step": 10**30}, f"step is {1e30:.17g} and must be between 0 and 2**53"),
            ({"epoch": "NaN"}, "epoch must be a whole number, not NaN or infinite"),
            ({"training_loss": None}, "a training event must have training_loss"),
            ({"accuracy": 1.5}, "accuracy is 1.5 and must be between 0 and 1"),
        ],
    )
    def test_of_a_step_names_the_field_and_the_rule(self, change: dict[str, Any], sentence: str) -> None:
        assert refusal(STEP | change, Kind.TRAINING) == sentence

    @pytest.mark.parametrize(
        "learner", ["alice@example.org", "alice", "", LEARNER + "\n", LEARNER.upper(), LEARNER[:-1], 17, True, {}]
    )
    def test_of_a_learner_that_is_no_pseudonym_does_not_repeat_it(self, learner: Any) -> None:
        sentence = refusal(ANSWER | {"learner": learner}, Kind.INTERACTION)
        assert sentence == "learner must be a pseudonym (p1_<key id>_<digest>), never a user id"

    @pytest.mark.parametrize("field", ["timestamp", "action", "subject", "difficulty", "accuracy"])
    def test_of_an_interaction_repeats_no_text(self, field: str) -> None:
        assert "alice" not in refusal(ANSWER | {field: "alice\x07"}, Kind.INTERACTION)

    def test_of_metrics_where_a_kind_has_none_names_them(self) -> None:
        assert refusal(ANSWER | {"metrics": {}}, Kind.INTERACTION) == "an interaction has no field metrics"

    def test_of_a_run_type_names_the_four(self) -> None:
        assert refusal(START | {"type": "pause"}, Kind.RUN) == "type must be start, settings, checkpoint or end"

    def test_of_a_payload_names_the_rule(self) -> None:
        assert refusal(START | {"payload": "x"}, Kind.RUN) == "payload must be an object, not a text"
        long = {"x": "y" * 100_000}
        assert (
            refusal(START | {"payload": long}, Kind.RUN)
            == "payload must have at most 100000 characters, and has 100008"
        )
        deep = json.dumps(START)[:-1] + ', "payload": ' + '{"a":' * 600 + "1" + "}" * 601
        assert refusal(deep.encode(), Kind.RUN) == "payload must not be nested so deeply"

    def test_of_an_annotation_without_text_names_it(self) -> None:
        assert refusal(NOTE | {"text": ""}, Kind.ANNOTATION) == "text must have 1 to 10000 characters, and has 0"
        assert refusal(NOTE | {"text": 5}, Kind.ANNOTATION) == "text must be a text, not 5"

    def test_carries_field_and_row(self) -> None:
        with pytest.raises(InvalidMessage) as caught:
            take(samples(cpu_usage=[1, 200, 3]))
        assert (caught.value.field, caught.value.row) == ("cpu_usage", 1)

    def test_of_an_endless_name_is_bounded(self) -> None:
        with pytest.raises(InvalidMessage) as caught:
            take(SAMPLE | {"é" * 100_000 + str(i): 1 for i in range(9)})
        assert len(str(caught.value)) < 400
        assert str(caught.value).isascii()
        assert len(caught.value.field or "") <= 60


class TestBatch:
    def test_holds_its_columns(self) -> None:
        batch = take(samples(gpu=["0", None, "1"], run="run-9", memory_usage=40, **{"metrics.fan": [None, "NaN", 3.5]}))
        assert (batch.kind, batch.source, batch.key, batch.boot, batch.seq) == (
            Kind.PERFORMANCE, "node-1", "node-1", "b-1", 7,
        )  # fmt: skip
        assert batch.timestamp.dtype == np.int64
        assert batch.timestamp.tolist() == [NOON, NOON + 1, NOON + 2]
        assert batch.numbers["cpu_usage"].tolist() == [1.0, 2.0, 3.0]
        assert batch.numbers["memory_usage"].tolist() == [40.0, 40.0, 40.0]
        np.testing.assert_array_equal(batch.numbers["fan"], [np.nan, np.nan, 3.5])
        assert batch.nonfinite["fan"].tolist() == [0, 1, 0]
        assert batch.texts["run"] == "run-9"
        assert list(batch.texts["gpu"]) == ["0", None, "1"]

    def test_with_an_equal_text_in_every_row_holds_it_once(self) -> None:
        assert take(samples(node=["node-1"] * 3, gpu=["0", "0", "0"])).texts == {"node": "node-1", "gpu": "0"}

    def test_of_interactions_has_its_source_for_a_key(self) -> None:
        columns = {name: [value, value] for name, value in ANSWER.items()} | {"timestamp": [NOON, NOON]}
        assert take(envelope(Kind.INTERACTION, **columns), Kind.INTERACTION).key == "node-1"

    def test_of_an_import_has_places_in_place_of_a_sequence(self) -> None:
        message = samples() | {"source": "import", "place": [5, 0, 2**63 - 1], "boot": None, "seq": None}
        batch = take(message)
        assert batch.imported
        assert batch.place is not None
        assert (batch.boot, batch.seq, batch.place.tolist()) == (None, None, [5, 0, 2**63 - 1])

    def test_holds_payloads_as_texts(self) -> None:
        message = envelope(
            Kind.RUN, timestamp=[NOON, NOON], run="r", node="n", type=["start", "end"], payload=[{"a": 1}, {}]
        )
        assert list(take(message, Kind.RUN).texts["payload"]) == ['{"a":1}', "{}"]

    def test_leaves_out_columns_that_are_null_throughout(self) -> None:
        batch = take(samples(memory_usage=[None] * 3, gpu=[None] * 3, **{"metrics.x": [None] * 3}))
        assert (set(batch.numbers), set(batch.texts)) == ({"cpu_usage"}, {"node"})

    def test_of_a_number_that_is_not_finite_says_something(self) -> None:
        batch = take(samples(cpu_usage=[1, None, "NaN"], memory_usage=[None, "Infinity", 5]))
        assert batch.nonfinite["memory_usage"].tolist() == [0, 2, 0]

    def test_of_zeros_and_ones_is_not_taken_for_booleans(self) -> None:
        assert take(samples(cpu_usage=[0, 1, 0.0])).numbers["cpu_usage"].tolist() == [0.0, 1.0, 0.0]

    def test_may_hold_the_most_rows_and_no_more(self) -> None:
        stamps = list(range(NOON, NOON + MAX_ROWS + 1))
        assert len(take(envelope(timestamp=stamps[:-1], node="n", cpu_usage=1))) == MAX_ROWS
        sentence = refusal(envelope(timestamp=stamps, node="n", cpu_usage=1))
        assert sentence == "a batch must hold 1 to 10000 rows, and holds 10001"


class TestBatchRefusal:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"cpu_usage": [1, 140.5, 3]}, "cpu_usage in row 1 is 140.5 and must be between 0 and 100"),
            ({"cpu_usage": [1, True, 3]}, "cpu_usage in row 1 must be a number, not a boolean"),
            ({"cpu_usage": [None, True, 3]}, "cpu_usage in row 1 must be a number, not a boolean"),
            ({"cpu_usage": True}, "cpu_usage must be a number, not a boolean"),
            ({"cpu_usage": [1, "2", 3]}, f"cpu_usage in row 1 {NOT_A_NUMBER}"),
            ({"cpu_usage": [1, [], 3]}, "cpu_usage in row 1 must be a number, not a list"),
            ({"cpu_usage": [1, 2]}, "cpu_usage has 2 values where timestamp has 3"),
            ({"cpu_usage": []}, "cpu_usage has 0 values where timestamp has 3"),
            ({"cpu_usage": [1, None, 3]}, "a performance event in row 1 must have at least one number"),
            ({"cpu_usage": None}, "a performance event in row 0 must have at least one number"),
            ({"node": ["a", "b", "a"]}, "a batch must hold one node, and this one holds several"),
            ({"node": ["a", None, "a"]}, "node in row 1 must be a text, not null"),
            ({"node": [None] * 3}, "node in row 0 must be a text, not null"),
            ({"gpu": ["0", "", None]}, "gpu in row 1 must have 1 to 200 characters, and has 0"),
            ({"gpu": ["0", None, []]}, "gpu in row 2 must be a text, not a list"),
            ({"gpu": ["0", None]}, "gpu has 2 values where timestamp has 3"),
            ({"timestamp": []}, "a batch must hold 1 to 10000 rows, and holds 0"),
            ({"timestamp": NOON}, "timestamp must be a list of µs since the epoch"),
            ({"timestamp": [NOON, 1.5, 3]}, "timestamp in row 1 must be a whole number below 2**63, not 1.5"),
            ({"timestamp": [NOON, "x", 3]}, "timestamp in row 1 must be a whole number below 2**63, not a text"),
            ({"timestamp": [NOON, 2**63, 3]}, f"timestamp in row 1 must be a whole number below 2**63, not {2**63}"),
            ({"timestamp": [1, True, 3]}, "timestamp in row 1 must be a number, not a boolean"),
            ({"timestamp": [NOON, -1, 3]}, "timestamp in row 1 is -1 µs and must lie in the years 1970 to 2199"),
            ({"timestamp": [0, 1, Y2200]}, f"timestamp in row 2 is {Y2200} µs and must lie in the years 1970 to 2199"),
            ({"metrics": {}}, "a performance event has no field metrics"),
            ({"metrics.": [1, 2, 3]}, "the metric '' must be 1 to 64 of a-z, 0-9 and _, a letter first"),
        ],
    )  # fmt: skip
    def test_of_columns_names_field_row_and_rule(self, change: dict[str, Any], sentence: str) -> None:
        assert refusal(samples(**change)) == sentence

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"v": 2}, "v must be 1, the version of the envelope"),
            ({"v": True}, "v must be 1, the version of the envelope"),
            ({"kind": "training"}, "kind must be performance on this topic"),
            ({"kind": ["x"]}, "kind must be performance on this topic"),
            ({"columns": [1]}, "columns must be an object, not a list"),
            ({"columns": {}}, "timestamp must be a list of µs since the epoch"),
            ({"source": None}, "source must be a text, not null"),
            ({"boot": None}, "boot must be a text, not null"),
            ({"boot": ["x"]}, "boot must be a text, not a list"),
            ({"seq": None}, "seq must be a whole number from 0 to 2**63, not null"),
            ({"seq": -1}, "seq must be a whole number from 0 to 2**63, not -1"),
            ({"seq": 2**63 - 3}, f"seq must be a whole number from 0 to 2**63, not {2**63 - 3}"),
            ({"seq": True}, "seq must be a whole number from 0 to 2**63, not a boolean"),
            ({"place": [1, 2, 3]}, "only a batch of the source demo or import has place"),
            ({"source": "import"}, "a batch of the source import has neither boot nor seq"),
            (IMPORTED, "place must be a list of whole numbers, not null"),
            (IMPORTED | {"place": [1]}, "place has 1 values where timestamp has 3"),
            (IMPORTED | {"place": [1, -2, 3]}, "place in row 1 must not be negative"),
            ({"sender": "x"}, "a batch has no field sender"),
        ],
    )  # fmt: skip
    def test_of_the_envelope_names_the_rule(self, change: dict[str, Any], sentence: str) -> None:
        assert refusal(samples() | change) == sentence

    def test_of_a_required_number_that_is_null_names_the_row(self) -> None:
        columns = STEP | {"timestamp": [NOON, NOON], "training_loss": [0.5, None]}
        assert refusal(envelope(Kind.TRAINING, **columns), Kind.TRAINING) == "training_loss in row 1 must not be null"

    def test_of_payloads_names_the_row(self) -> None:
        message = envelope(Kind.RUN, timestamp=[NOON, NOON], run="r", node="n", type="start", payload=[{}, None])
        assert refusal(message, Kind.RUN) == "payload in row 1 must be an object, not null"


class TestHostileBytes:
    @pytest.mark.parametrize(
        ("value", "start"),
        [
            (b"", "the message is empty"),
            (b"\xff\xfe{}", "the message is not JSON"),
            (b'{"node": "\xff"}', "the message is not JSON"),
            (b'{"cpu_usage": NaN}', "the message is not JSON"),
            (b'{"cpu_usage": 1e999}', "the message is not JSON"),
            (b'{"node": "\\ud800"}', "the message is not JSON"),
            (b"[" * 5000, "the message is not JSON"),
            (json.dumps(SAMPLE).encode()[:-5], "the message is not JSON"),
            (b"[]", "the message must be a JSON object, not a list"),
            (b"null", "the message must be a JSON object, not null"),
            (b'"x"', "the message must be a JSON object, not a text"),
            (b" " * (6 * 2**20 + 1), "the message has 6291457 bytes and may have 6291456"),
        ],
    )  # fmt: skip
    def test_are_refused_with_a_sentence(self, value: bytes, start: str) -> None:
        assert refusal(value).startswith(start)

    def test_of_a_tombstone_are_refused(self) -> None:
        with pytest.raises(InvalidMessage, match="the message is empty"):
            decode(None, kind=Kind.RUN, topic_boot="t", partition=0, offset=0)

    def test_of_five_megabytes_are_refused_with_a_short_sentence(self) -> None:
        text = "x" * 5_000_000
        assert len(refusal(SAMPLE | {"node": text})) < 200
        assert len(refusal(SAMPLE | {text: 1})) < 200
        assert len(refusal(samples(cpu_usage=[0] * 1_600_000))) < 200


class TestEncode:
    def test_writes_a_constant_column_once(self) -> None:
        columns = json.loads(encode_batch(take(samples(memory_usage=[4, 4, 4], gpu=["0", "0", "0"]))))["columns"]
        assert (columns["memory_usage"], columns["gpu"], columns["node"]) == (4, "0", "node-1")
        assert columns["timestamp"] == [NOON, NOON + 1, NOON + 2]

    def test_writes_what_is_absent_as_null_and_what_is_not_finite_by_name(self) -> None:
        columns = json.loads(
            encode_batch(take(samples(memory_usage=[None, "NaN", "-Infinity"], gpu=[None, "0", None])))
        )["columns"]
        assert columns["memory_usage"] == [None, "NaN", "-Infinity"]
        assert columns["gpu"] == [None, "0", None]

    def test_leaves_out_a_column_without_values(self) -> None:
        batch = take(samples(memory_usage=[5, 6, 7]))
        batch.numbers["memory_usage"][:] = np.nan
        assert "memory_usage" not in json.loads(encode_batch(batch))["columns"]

    def test_writes_an_infinite_number_without_a_code_by_name(self) -> None:
        batch = Batch(
            kind=Kind.PERFORMANCE, source="s", key="n", timestamp=np.array([1, 2]), boot="b", seq=0,
            numbers={"x": np.array([np.inf, -np.inf])}, texts={"node": "n"},
        )  # fmt: skip
        assert json.loads(encode_batch(batch))["columns"]["metrics.x"] == ["Infinity", "-Infinity"]

    def test_writes_whole_numbers_without_a_point(self) -> None:
        columns = STEP | {"timestamp": [NOON, NOON], "step": [20, 21]}
        value = encode_batch(take(envelope(Kind.TRAINING, **columns), Kind.TRAINING))
        assert b'"step":[20,21]' in value
        assert b'"epoch":1,' in value

    def test_writes_the_places_of_an_import(self) -> None:
        message = samples() | {"source": "import", "place": [3, 1, 2], "boot": None, "seq": None}
        written = json.loads(encode_batch(take(message)))
        assert written["place"] == [3, 1, 2]
        assert not {"boot", "seq"} & written.keys()

    def test_takes_the_rows_of_a_slice_and_of_a_stride(self) -> None:
        stamps = np.arange(NOON, NOON + 20, dtype=np.int64)
        batch = Batch(
            kind=Kind.PERFORMANCE, source="s", key="n", timestamp=stamps[::2], boot="b", seq=0,
            numbers={"cpu_usage": np.arange(20.0)[::2]}, texts={"node": "n"},
        )  # fmt: skip
        again = take(encode_batch(batch))
        assert again.timestamp.tolist() == stamps[::2].tolist()
        assert again.numbers["cpu_usage"].tolist() == list(range(0, 20, 2))

    def test_writes_payloads_as_objects(self) -> None:
        message = envelope(Kind.RUN, timestamp=[NOON, NOON], run="r", node="n", type="start", payload=[{"a": 1}, {}])
        assert json.loads(encode_batch(take(message, Kind.RUN)))["columns"]["payload"] == [{"a": 1}, {}]
        assert json.loads(encode_batch(take(START, Kind.RUN)))["columns"]["payload"] == {}

    def test_without_an_identity_is_refused(self) -> None:
        batch = Batch(kind=Kind.RUN, source="s", key="r", timestamp=np.array([1]), numbers={}, texts={"run": "r"})
        with pytest.raises(ValueError, match="a batch needs a place, or a boot and a seq"):
            encode_batch(batch)
