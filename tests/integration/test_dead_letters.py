"""Refused messages: listed, shown, and sent again once, with the identity that they had."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from tests.stacks import Stack, running_stack, until

from smartlearn.core.settings import KafkaSettings
from smartlearn.core.times import format_time
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE
from smartlearn.ops.dead_letters import dead_letters
from smartlearn.ops.replaying import InputTopics, replay
from smartlearn.producers.ledger import Ledger
from smartlearn.stream_processors.topology import input_partitions

pytestmark = pytest.mark.integration

FUTURE_S = 300
AHEAD_S = 12
NAME = "Ada Lovelace"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("dead"), "--no-agent") as running:
        yield running


@pytest.fixture(scope="module")
def ahead_us(stack: Stack) -> int:
    """Sends what is refused; the time of the event that is refused for being too far ahead, µs."""
    time_us = time.time_ns() // 1000 + (FUTURE_S + AHEAD_S) * 1_000_000
    early = {"timestamp": format_time(time_us), "node": "early", "cpu_usage": 42.5}
    learner = {
        "timestamp": "2026-03-01T12:00:00Z", "learner": NAME, "action": "quiz", "subject": "algebra",
        "difficulty": "easy", "response_time": 1, "accuracy": 1, "engagement_score": 5,
    }  # fmt: skip
    producer = Producer({"bootstrap.servers": stack.kafka, "partitioner": "murmur2_random"})
    producer.produce(PERFORMANCE, key="by-hand", value=b"\x1b[31m{not json")
    producer.produce(PERFORMANCE, key="early", value=json.dumps(early).encode())
    producer.produce(INTERACTIONS, key="somebody", value=json.dumps(learner).encode())
    assert producer.flush(10) == 0
    until(lambda: len(letters(stack)) == 3)
    return time_us


def letters(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.json("dead-letters", "list", *arguments, "--format", "json")
    return found


def of(stack: Stack, words: str) -> dict[str, Any]:
    (found,) = [letter for letter in letters(stack) if words in letter["reason"]]
    return found


def counts(stack: Stack, topic: str) -> dict[str, int]:
    found: dict[str, int] = stack.json("status", "--format", "json")["topics"][topic]
    return found


def test_the_list_tells_where_each_came_from_and_why(stack: Stack, ahead_us: int) -> None:
    found = letters(stack)
    assert [letter["number"] for letter in found] == ["0", "1", "2"]
    assert sorted(letter["topic"] for letter in found) == [INTERACTIONS, PERFORMANCE, PERFORMANCE]
    assert {letter["offset"] for letter in found} == {0}
    assert not any(letter["replayed"] for letter in found)
    assert all(letter["time"].startswith("20") for letter in found)
    assert "ahead of the record" in of(stack, "ahead")["reason"]
    assert NAME not in json.dumps(found)
    assert {letter["topic"] for letter in letters(stack, "--topic", "performance")} == {PERFORMANCE}
    assert len(letters(stack, "--last", "1h")) == 3
    rows = list(csv.DictReader(io.StringIO(stack.call("dead-letters", "list", "--format", "csv").stdout)))
    assert [row["number"] for row in rows] == ["0", "1", "2"]
    assert "ahead of the record" in stack.call("dead-letters", "list").stdout


def test_one_is_shown_with_its_headers_and_what_was_masked_stays_so(stack: Stack, ahead_us: int) -> None:
    text = stack.call("dead-letters", "show", of(stack, "learner")["number"]).stdout
    assert f"topic: {INTERACTIONS}" in text
    assert '"learner": "***"' in text
    assert '"subject": "algebra"' in text
    assert NAME not in text


def test_bytes_do_nothing_to_a_terminal_unless_they_are_asked_for(stack: Stack, ahead_us: int) -> None:
    number = of(stack, "JSON")["number"]
    assert "\\x1b[31m{not json" in stack.call("dead-letters", "show", number).stdout
    assert stack.call("dead-letters", "show", number, "--raw").stdout == "\x1b[31m{not json"


def test_what_is_not_there_is_one_sentence(stack: Stack, ahead_us: int) -> None:
    for command in ("show", "replay"):
        done = stack.call("dead-letters", command, "999", check=False)
        assert done.returncode == 2
        assert "there is no dead letter 999" in done.stderr
    assert stack.call("dead-letters", "list", "--topic", "weather", check=False).returncode == 2


def test_masked_values_are_never_sent_again(stack: Stack, ahead_us: int) -> None:
    done = stack.call("dead-letters", "replay", of(stack, "learner")["number"], check=False)
    assert done.returncode == 1
    assert "its values were masked" in done.stderr
    assert done.stdout == "replayed 0 of 1 dead letters\n"
    assert counts(stack, INTERACTIONS)["in"] == 1


def test_a_replay_keeps_the_identity_and_is_done_once(stack: Stack, ahead_us: int) -> None:
    early = of(stack, "ahead")
    dry = stack.call("dead-letters", "replay", "--topic", "performance", "--dry-run")
    assert dry.stdout == "would replay 2 of 2 dead letters\n"
    before = counts(stack, PERFORMANCE)
    assert before["in"] == 2
    until(lambda: time.time_ns() // 1000 > ahead_us - FUTURE_S * 1_000_000)

    first = stack.call("dead-letters", "replay", early["number"])
    assert first.stdout == "replayed 1 of 1 dead letters\n"
    arguments = ("performance", "--where", "node=early")
    until(lambda: len(stack.query(*arguments)) == 1)
    (row,) = stack.query(*arguments)
    assert (row["time"][:19], row["cpu_usage"], row["source"]) == (format_time(ahead_us)[:19], 42.5, "external")
    assert of(stack, "ahead")["replayed"] is True

    again = stack.call("dead-letters", "replay", early["number"], check=False)
    assert again.returncode == 1
    assert "it was replayed already" in again.stderr
    assert counts(stack, PERFORMANCE)["in"] == 3

    # As after a replay that died before it remembered what it had sent.
    kafka = KafkaSettings(bootstrap_servers=stack.kafka, epoch=stack.record["kafka_epoch"])
    partitions = input_partitions(kafka)
    unremembered = [letter for letter in dead_letters(kafka) if letter.number == early["number"]]
    replay(
        kafka,
        unremembered,
        InputTopics(partitions, dict.fromkeys(partitions, str(kafka.epoch))),
        Ledger(stack.data_dir),
    )
    until(lambda: counts(stack, PERFORMANCE)["duplicate"] == 1)
    assert len(stack.query(*arguments)) == 1


def test_what_is_still_wrong_comes_back_as_a_new_letter(stack: Stack, ahead_us: int) -> None:
    old = of(stack, "JSON")
    assert stack.call("dead-letters", "replay", old["number"]).stdout == "replayed 1 of 1 dead letters\n"
    until(lambda: len([letter for letter in letters(stack) if "JSON" in letter["reason"]]) == 2)
    back = [letter for letter in letters(stack) if "JSON" in letter["reason"]]
    assert [letter["replayed"] for letter in back] == [True, False]
    assert back[1]["offset"] > back[0]["offset"]
    assert back[1]["partition"] == back[0]["partition"]
