from __future__ import annotations

from smartlearn.core.topics import PERFORMANCE, TRAINING
from smartlearn.ops.ledger import added_up, ledger_report
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Page
from smartlearn.stream_processors.domain.progress import Effect, Progress

SENDER = ("lab", "boot", "lab")


def progress(*effects: Effect) -> Progress:
    one = Progress()
    for effect in effects:
        one.apply(effect)
    return one


def arrived(rows: int, source: str = "lab", **fates: int) -> Effect:
    return Effect(0, source, {"in": rows, **fates})


def test_of_each_machine_the_newest_page_counts() -> None:
    pages = [
        Page("here", 3, {("lab", PERFORMANCE): TopicCounts(30)}),
        Page("here", 2, {("lab", PERFORMANCE): TopicCounts(20)}),
        Page("there", 1, {("lab", PERFORMANCE): TopicCounts(1), ("agent", PERFORMANCE): TopicCounts(5)}),
        Page("there", 1, {("lab", PERFORMANCE): TopicCounts(1), ("agent", PERFORMANCE): TopicCounts(5)}),
    ]
    assert added_up(pages) == {("lab", PERFORMANCE): TopicCounts(31), ("agent", PERFORMANCE): TopicCounts(5)}


def test_a_row_that_was_forwarded_counts_once() -> None:
    report = ledger_report(
        {("lab", PERFORMANCE): TopicCounts(produced=5, delivered=5)},
        {
            (PERFORMANCE, 0): progress(arrived(5, forwarded=5)),
            (PERFORMANCE, 1): progress(arrived(5, stored=4, dead=1)),
        },
        settled=True,
    )
    one = report.topics[PERFORMANCE]
    assert (one.arrived["in"], one.arrived["forwarded"], one.arrived["stored"]) == (10, 5, 4)
    assert (one.unaccounted, one.extra, report.problems) == (0, 0, [])


def test_rows_of_programs_without_a_count_stand_on_both_sides() -> None:
    report = ledger_report(
        {("lab", PERFORMANCE): TopicCounts(produced=5, delivered=5)},
        {(PERFORMANCE, 0): progress(arrived(5, stored=5), arrived(3, "external", stored=2, dead=1))},
        settled=True,
    )
    one = report.topics[PERFORMANCE]
    assert (one.arrived["others"], one.unaccounted, one.extra) == (3, 0, 0)
    assert report.arrived["external"][PERFORMANCE]["dead"] == 1


def test_what_did_not_arrive_is_a_problem_once_everything_is_read() -> None:
    sent = {("lab", PERFORMANCE): TopicCounts(produced=9, delivered=7, dropped=1)}
    read = {(PERFORMANCE, 0): progress(arrived(5, stored=5))}
    for settled, problems in (
        (None, []),
        (False, []),
        (True, [f"{PERFORMANCE}: 2 rows were delivered and are not accounted for"]),
    ):
        report = ledger_report(sent, read, settled)
        assert report.problems == problems
        assert report.topics[PERFORMANCE].unaccounted == 2
        assert report.topics[PERFORMANCE].sent["waiting"] == 1


def test_a_delivery_that_nobody_noted_is_no_loss() -> None:
    report = ledger_report({}, {(TRAINING, 0): progress(arrived(6, stored=3, duplicate=3))}, settled=True)
    assert (report.topics[TRAINING].extra, report.topics[TRAINING].unaccounted, report.problems) == (6, 0, [])


def test_missing_numbers_are_added_up_over_partitions() -> None:
    parts = {
        (TRAINING, number): progress(Effect(0, "lab", {"in": 1, "stored": 1}, rows=[(SENDER, 4, 5)]))
        for number in range(2)
    }
    report = ledger_report({}, parts, settled=True)
    assert report.topics[TRAINING].arrived["missing"] == 8
    assert report.arrived["lab"][TRAINING]["missing"] == 8


def test_rows_that_were_lost_before_they_had_a_topic_are_shown() -> None:
    assert "" not in ledger_report({}, {}, settled=True).topics
    report = ledger_report({("lab", ""): TopicCounts(dropped=4)}, {}, settled=True)
    assert report.topics[""].sent["dropped"] == 4
