"""Bytes ⇄ validated batches: one event as a JSON object, or a columnar batch. A row is a batch of one.

A fault refuses the whole message, since a batch is one delivery: its sender could have validated it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from smartlearn.core.batch import (
    EXTERNAL_SOURCE,
    NONFINITE_NAMES,
    PLACED_SOURCES,
    Batch,
    FloatArray,
    Int64Array,
    Kind,
    TextColumn,
)
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.faults import check_length, described, fail, shown
from smartlearn.core.layouts import LAYOUTS, fail_unknown, to_columns
from smartlearn.core.numeric_columns import to_times, to_whole
from smartlearn.core.schemas import (
    FIRST_TIME_US,
    LAST_TIME_US,
    MAX_MESSAGE_BYTES,
    MAX_ROWS,
    METRIC_PREFIX,
    NUMERIC_FIELDS,
    WHOLE_FIELDS,
    BatchEnvelope,
)
from smartlearn.core.text_columns import label_fault
from smartlearn.core.times import parse_time

_ENVELOPE_FIELDS = frozenset(BatchEnvelope.model_fields)


def decode(value: bytes | None, *, kind: Kind, topic_boot: str, partition: int, offset: int) -> Batch:
    """Validate the value of a message of a topic.

    Args:
        value: one event as a JSON object, or a columnar batch.
        kind: what the topic holds.
        topic_boot: the id of the topic, or of this start of the embedded broker; identifies row events.
        partition: the partition that a row event first arrived on.
        offset: its offset there.

    Returns:
        The rows. A row event's key is its node, run or scope, an interaction's its learner; a batch of
        interactions has its source for a key.

    Raises:
        InvalidMessage: the value breaks the contract; the sentence is bounded and repeats none of its texts.
    """
    if not value:
        raise InvalidMessage("the message is empty")
    if len(value) > MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"the message has {len(value)} bytes and may have {MAX_MESSAGE_BYTES}")
    try:
        message = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"the message is not JSON: {error}") from None
    if type(message) is not dict:
        raise InvalidMessage(f"the message must be a JSON object, not {described(message)}")
    if "columns" in message:
        return _decode_batch(message, kind)
    return _decode_row(message, kind, f"{topic_boot}/{partition}", offset)


def _decode_row(event: dict[str, Any], kind: Kind, boot: str, offset: int) -> Batch:
    layout = LAYOUTS[kind]
    time = _row_time(event.pop("timestamp", None))
    metrics = event.pop("metrics", None) if layout.metrics else None
    for name, value in event.items():
        if type(value) is list:
            fail(name, 0, 1, "must not be a list in a single event")
        if name.startswith(METRIC_PREFIX):
            fail_unknown([name], layout.event)
    if metrics is not None:
        _add_metrics(event, metrics)
    numbers, texts = to_columns(kind, event, 1)
    return Batch(
        kind=kind,
        source=EXTERNAL_SOURCE,
        key=str(texts[layout.key or "learner"]),
        timestamp=np.array((time,), dtype=np.int64),
        numbers=numbers.values,
        texts=texts,
        nonfinite=numbers.nonfinite,
        boot=boot,
        seq=offset,
    )


def _row_time(stamp: object) -> int:
    """The µs of the timestamp of a single event."""
    if type(stamp) is not str:
        fail("timestamp", 0, 1, f"must be a text with an RFC 3339 time, not {described(stamp)}")
    try:
        time = parse_time(stamp)
    except ValueError as error:
        raise InvalidMessage(f"timestamp {error}", field="timestamp", row=0) from None
    if not FIRST_TIME_US <= time < LAST_TIME_US:
        fail("timestamp", 0, 1, "must lie in the years 1970 to 2199")
    return time


def _add_metrics(event: dict[str, Any], metrics: object) -> None:
    """Put the metrics of a single event beside its fields, named as a batch's columns are."""
    if type(metrics) is not dict:
        fail("metrics", 0, 1, f"must be an object, not {described(metrics)}")
    for name, value in metrics.items():
        if type(value) is list:
            fail(METRIC_PREFIX + name, 0, 1, "must not be a list in a single event")
        event[METRIC_PREFIX + name] = value


def _decode_batch(message: dict[str, Any], kind: Kind) -> Batch:
    if message.keys() - _ENVELOPE_FIELDS:
        fail_unknown(message.keys() - _ENVELOPE_FIELDS, "a batch")
    version = message.get("v")
    if type(version) is not int or version != 1:
        raise InvalidMessage("v must be 1, the version of the envelope", field="v")
    if message.get("kind") != kind.value:
        raise InvalidMessage(f"kind must be {kind.value} on this topic", field="kind")
    data = message["columns"]
    if type(data) is not dict:
        raise InvalidMessage(f"columns must be an object, not {described(data)}", field="columns")
    timestamp = to_times(data.pop("timestamp", None))
    rows = len(timestamp)
    if not 0 < rows <= MAX_ROWS:
        raise InvalidMessage(f"a batch must hold 1 to {MAX_ROWS} rows, and holds {rows}", field="timestamp")
    source = _envelope_label(message, "source")
    boot, seq, place = _identity(message, source, rows)
    numbers, texts = to_columns(kind, data, rows)
    return Batch(
        kind=kind,
        source=source,
        key=_series_key(kind, source, texts),
        timestamp=timestamp,
        numbers=numbers.values,
        texts=texts,
        nonfinite=numbers.nonfinite,
        boot=boot,
        seq=seq,
        place=place,
    )


def _envelope_label(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    reason = label_fault(value)
    if reason is not None:
        raise InvalidMessage(f"{name} {reason}", field=name)
    return str(value)


def _identity(message: dict[str, Any], source: str, rows: int) -> tuple[str | None, int | None, Int64Array | None]:
    """The boot and seq of a producer's batch, or the places of an imported one."""
    seq, place = message.get("seq"), message.get("place")
    if source not in PLACED_SOURCES:
        if place is not None:
            sources = " or ".join(sorted(PLACED_SOURCES))
            raise InvalidMessage(f"only a batch of the source {sources} has place", field="place")
        if type(seq) is not int or not 0 <= seq < 2**63 - rows:
            reason = f"seq must be a whole number from 0 to 2**63, not {described(seq)}"
            raise InvalidMessage(reason, field="seq")
        return _envelope_label(message, "boot"), seq, None
    if seq is not None or message.get("boot") is not None:
        raise InvalidMessage(f"a batch of the source {source} has neither boot nor seq", field="seq")
    if type(place) is not list:
        raise InvalidMessage(f"place must be a list of whole numbers, not {described(place)}", field="place")
    check_length("place", place, rows)
    places = to_whole("place", place)
    if places.min() < 0:
        fail("place", int(np.argmin(places)), rows, "must not be negative")
    return None, None, places


def _series_key(kind: Kind, source: str, texts: dict[str, TextColumn]) -> str:
    name = LAYOUTS[kind].key
    if name is None:
        return source
    key = texts[name]
    if not isinstance(key, str):
        raise InvalidMessage(f"a batch must hold one {shown(name)}, and this one holds several", field=name)
    return key


def encode_batch(batch: Batch) -> bytes:
    """A batch as a message value: constant columns as one value, non-finite numbers by name, absent null.

    Raises:
        ValueError: the batch has neither a place nor both boot and seq.
    """
    known = NUMERIC_FIELDS[batch.kind]
    data: dict[str, Any] = {"timestamp": np.ascontiguousarray(batch.timestamp, dtype=np.int64)}
    for name, column in batch.texts.items():
        data[name] = _encode_payload(column) if name == "payload" else _encode_text(column)
    for name, values in batch.numbers.items():
        encoded = _encode_numbers(values, batch.nonfinite.get(name), whole=name in WHOLE_FIELDS)
        if encoded is not None:
            data[name if name in known else METRIC_PREFIX + name] = encoded
    envelope: dict[str, Any] = {"v": 1, "kind": batch.kind.value, "source": batch.source}
    if batch.place is not None:
        envelope["place"] = np.ascontiguousarray(batch.place, dtype=np.int64)
    elif batch.boot is not None and batch.seq is not None:
        envelope |= {"boot": batch.boot, "seq": batch.seq}
    else:
        raise ValueError("a batch needs a place, or a boot and a seq, to be sent")
    return orjson.dumps(envelope | {"columns": data}, option=orjson.OPT_SERIALIZE_NUMPY)


def _encode_numbers(values: FloatArray, codes: NDArray[np.int8] | None, *, whole: bool) -> Any:
    """A numeric column for JSON; None where no row has a value."""
    if codes is None and np.isinf(values).any():
        codes = np.select([values == np.inf, values == -np.inf], [2, 3], 0).astype(np.int8)
    if codes is not None and codes.any():
        boxed = values.astype(np.object_)
        boxed[np.isnan(values)] = None
        listed: list[Any] = boxed.tolist()
        for row in np.flatnonzero(codes).tolist():
            listed[row] = NONFINITE_NAMES[int(codes[row])]
        return listed
    first = values[0]
    if np.isnan(first):
        if np.isnan(values).all():
            return None
    elif (values == first).all():
        return int(first) if whole else float(first)
    return np.ascontiguousarray(values.astype(np.int64) if whole else values)


def _encode_text(column: TextColumn) -> Any:
    if isinstance(column, str):
        return column
    values = column.tolist()
    return values[0] if len(set(values)) == 1 else values


def _encode_payload(column: TextColumn) -> Any:
    if isinstance(column, str):
        return orjson.loads(column)
    return [orjson.loads(text) for text in column.tolist()]
