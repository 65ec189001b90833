from __future__ import annotations

import json
from typing import Any

import pytest

from smartlearn.core.masking import masked
from smartlearn.core.settings import PrivacySettings

ALLOW = PrivacySettings().dead_letter_fields


def mask(message: Any) -> Any:
    return json.loads(masked(json.dumps(message).encode(), ALLOW))


def test_allowed_values_of_an_event_stay_and_others_do_not() -> None:
    event = {"timestamp": "2026-01-01T00:00:00Z", "subject": "physics", "accuracy": 7, "learner": "alice", "note": 3}
    assert mask(event) == event | {"learner": "***", "note": "***"}


def test_a_batch_keeps_its_shape() -> None:
    columns = {
        "timestamp": [1, 2],
        "learner": ["alice", None],
        "subject": "physics",
        "accuracy": [0.5, "x"],
        "mail": "a@b",
    }
    message = {"v": 1, "kind": "interaction", "source": "node-1", "boot": "b", "seq": 3, "columns": columns}
    assert mask(message) == message | {"columns": columns | {"learner": ["***", None], "mail": "***"}}


def test_an_envelope_that_is_not_the_contracts_hides_its_values() -> None:
    message = {
        "v": "alice",
        "kind": ["alice"],
        "source": "a\x00b",
        "boot": {"a": "alice"},
        "owner": "alice",
        "columns": {},
    }
    assert "alice" not in json.dumps(mask(message))


def test_an_allowed_field_hides_what_is_nested_in_it() -> None:
    assert mask({"subject": {"learner": "alice"}, "action": ["quiz", ["alice"], {"x": "alice"}]}) == {
        "subject": "***",
        "action": ["quiz", "***", "***"],
    }


def test_columns_that_are_no_object_are_masked() -> None:
    assert mask({"columns": ["alice"], "source": "alice"}) == {"columns": ["***"], "source": "***"}


@pytest.mark.parametrize(
    "value", [b'{"learner": "alice"', b"alice", b"\xff\xfe", b"", b'["alice"]', b'"alice"', b"[" * 5000]
)
def test_of_anything_else_only_the_length_is_told(value: bytes) -> None:
    assert json.loads(masked(value, ALLOW)) == {"masked_bytes": len(value)}


def test_a_tombstone_has_no_bytes() -> None:
    assert json.loads(masked(None, ALLOW)) == {"masked_bytes": 0}


def test_what_the_settings_allow_is_kept() -> None:
    assert json.loads(masked(b'{"learner": "x", "subject": "y"}', ("learner",))) == {"learner": "x", "subject": "***"}
