"""Whatever the bytes: a batch of the contract comes out, or one clear sentence."""

from __future__ import annotations

import calendar
import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from smartlearn.core.batch import Batch, Kind, TextColumn
from smartlearn.core.codec import decode, encode_batch
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.schemas import EVENT_OF, MAX_WHOLE

KINDS = st.sampled_from(list(Kind))
PSEUDONYM = "p1_0123abcd_" + "0123456789abcdef" * 2
LONGEST_SENTENCE = 1200


def take(value: bytes, kind: Kind) -> Batch:
    return decode(value, kind=kind, topic_boot="boot", partition=3, offset=41)


def take_or_refuse(value: bytes, kind: Kind) -> Batch | None:
    """The batch, or None where the message was refused with a proper sentence; anything else fails the test."""
    try:
        batch = take(value, kind)
    except InvalidMessage as error:
        sentence = str(error)
        assert sentence
        assert "\n" not in sentence
        assert len(sentence) < LONGEST_SENTENCE
        return None
    lengths = {len(batch.timestamp)} | {len(column) for column in batch.numbers.values()}
    lengths |= {len(column) for column in batch.texts.values() if not isinstance(column, str)}
    assert lengths == {len(batch)}
    return batch


labels = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=200).filter(
    lambda text: not text.endswith("\\")
)
numbers = st.one_of(
    st.integers(0, 100),
    st.floats(0, 100),
    st.sampled_from(["NaN", "Infinity", "-Infinity"]),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
times = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def events(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    """A valid event of any kind, as JSON values."""
    kind = draw(KINDS)
    event: dict[str, Any] = {"timestamp": draw(times).isoformat()}
    metrics = st.dictionaries(
        st.from_regex(r"\A[a-z]{3}_[0-9]{1,4}\Z"), st.floats(allow_nan=False, allow_infinity=False)
    )
    match kind:
        case Kind.PERFORMANCE:
            event |= {"node": draw(labels), "cpu_usage": draw(numbers)}
            event |= draw(st.fixed_dictionaries({}, optional={"gpu": labels, "run": labels, "metrics": metrics}))
        case Kind.TRAINING:
            event |= {"run": draw(labels), "node": draw(labels)}
            event |= {"epoch": draw(st.integers(0, MAX_WHOLE - 1)), "step": draw(st.integers(0, MAX_WHOLE - 1))}
            event |= {"training_loss": draw(numbers), "learning_rate": draw(numbers), "metrics": draw(metrics)}
        case Kind.INTERACTION:
            event |= {"learner": PSEUDONYM, "action": draw(labels), "subject": draw(labels)}
            event |= {"difficulty": draw(labels), "response_time": draw(numbers)}
            event |= {"accuracy": draw(st.floats(0, 1)), "engagement_score": draw(st.floats(1, 10))}
        case Kind.RUN:
            event |= {"run": draw(labels), "node": draw(labels), "type": "end"}
            event["payload"] = draw(st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53)))
        case Kind.ANNOTATION:
            event |= {"text": draw(st.text(st.characters(codec="utf-8"), min_size=1)), "scope": draw(labels)}
    return kind, event


@given(st.binary(max_size=400), KINDS)
def test_arbitrary_bytes_never_raise_anything_but_an_invalid_message(value: bytes, kind: Kind) -> None:
    take_or_refuse(value, kind)


@given(anything, KINDS)
def test_arbitrary_json_never_raises_anything_but_an_invalid_message(value: Any, kind: Kind) -> None:
    take_or_refuse(json.dumps(value).encode(), kind)


@given(anything, anything, anything, KINDS, st.data())
def test_envelopes_around_arbitrary_columns_never_raise_anything_but_an_invalid_message(
    first: Any, second: Any, third: Any, kind: Kind, data: st.DataObject
) -> None:
    names = [name for name in EVENT_OF[kind].model_fields if name != "timestamp"]
    name, other = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    message: dict[str, Any] = {"v": 1, "kind": kind.value, "source": "s", "boot": "b", "seq": 0}
    message["columns"] = {"timestamp": [1, 2], name: first, other: [second, third]}
    take_or_refuse(json.dumps(message).encode(), kind)


@given(events())
def test_a_valid_event_is_a_batch_of_one_and_comes_back_from_its_own_encoding(
    case: tuple[Kind, dict[str, Any]],
) -> None:
    kind, event = case
    batch = take(json.dumps(event).encode(), kind)
    assert len(batch) == 1
    stamp = datetime.fromisoformat(event["timestamp"])
    assert batch.timestamp[0] == calendar.timegm(stamp.utctimetuple()) * 1_000_000 + stamp.microsecond
    assert_equal(batch, take(encode_batch(batch), kind))


@given(events(), anything, st.data())
def test_a_valid_event_with_one_value_changed_is_judged_as_the_model_judges_it(
    case: tuple[Kind, dict[str, Any]], value: Any, data: st.DataObject
) -> None:
    kind, event = case
    name = data.draw(st.sampled_from([*EVENT_OF[kind].model_fields, "surprise"]))
    text = json.dumps(event | {name: value})
    batch = take_or_refuse(text.encode(), kind)
    try:
        EVENT_OF[kind].model_validate_json(text)
    except ValidationError:
        # The codec takes a whole number that is written as a float; the model does not.
        assert batch is None or name in {"epoch", "step", "metrics", "payload", "timestamp"}
    else:
        if batch is None:
            # What the model cannot say: some number in every sample, the years, names that are taken, large integers.
            assert kind is Kind.PERFORMANCE or name in {"timestamp", "metrics", "payload"} or too_large(value)


@given(events(), st.data())
def test_a_valid_message_cut_or_changed_anywhere_never_raises_anything_but_an_invalid_message(
    case: tuple[Kind, dict[str, Any]], data: st.DataObject
) -> None:
    kind, event = case
    text = json.dumps(event).encode()
    value = encode_batch(take(text, kind)) if data.draw(st.booleans()) else text
    at = data.draw(st.integers(0, len(value)))
    take_or_refuse(value[:at], kind)
    take_or_refuse(value[:at] + data.draw(st.binary(min_size=1, max_size=3)) + value[at + 1 :], kind)


columns = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2**52), min_size=n, max_size=n),
        st.lists(st.none() | st.floats(0, 100) | st.just("NaN") | st.just("Infinity"), min_size=n, max_size=n),
        st.lists(st.none() | labels, min_size=n, max_size=n),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=n, max_size=n),
    )
)


@settings(deadline=None)
@given(columns)
def test_a_batch_keeps_every_value_through_decode_and_encode(
    case: tuple[list[int], list[Any], list[str | None], list[float]],
) -> None:
    stamps, usage, gpus, metric = case
    message: dict[str, Any] = {"v": 1, "kind": "performance", "source": "n", "boot": "b", "seq": 7}
    message["columns"] = {"timestamp": stamps, "node": "n", "cpu_usage": usage, "gpu": gpus, "metrics.x": metric}
    batch = take(json.dumps(message).encode(), Kind.PERFORMANCE)
    assert batch.timestamp.tolist() == stamps
    assert batch.numbers["x"].tolist() == metric
    if all(value is None for value in usage):
        assert "cpu_usage" not in batch.numbers
    values = batch.numbers.get("cpu_usage", np.full(len(stamps), np.nan))
    codes = batch.nonfinite.get("cpu_usage", np.zeros(len(stamps), dtype=np.int8))
    for row, value in enumerate(usage):
        if isinstance(value, float):
            assert values[row] == value
        else:
            assert math.isnan(values[row])
        assert codes[row] == {"NaN": 1, "Infinity": 2}.get(str(value), 0)
    column = batch.texts.get("gpu")
    assert ([column] * len(gpus) if isinstance(column, str) else list(column if column is not None else gpus)) == gpus
    assert_equal(batch, take(encode_batch(batch), Kind.PERFORMANCE))


def too_large(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) > 2**53


def assert_equal(batch: Batch, other: Batch) -> None:
    assert (batch.kind, batch.source, batch.boot, batch.seq) == (other.kind, other.source, other.boot, other.seq)
    assert batch.timestamp.tolist() == other.timestamp.tolist()
    assert batch.numbers.keys() == other.numbers.keys()
    for name, column in batch.numbers.items():
        np.testing.assert_array_equal(column, other.numbers[name])
        np.testing.assert_array_equal(
            batch.nonfinite.get(name, np.zeros(len(batch), dtype=np.int8)),
            other.nonfinite.get(name, np.zeros(len(batch), dtype=np.int8)),
        )
    assert {name: as_value(text) for name, text in batch.texts.items()} == {
        name: as_value(text) for name, text in other.texts.items()
    }


def as_value(column: TextColumn) -> str | list[str | None]:
    return column if isinstance(column, str) else list(column)
