"""The lanes of a worker, wired: which topic is derived by what, into which store."""

from __future__ import annotations

from collections.abc import Mapping

from smartlearn.core.batch import Kind
from smartlearn.core.partitioning import shard_of
from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import MetricStore
from smartlearn.core.topics import TOPIC_OF
from smartlearn.stream_processors.alerting import Alerting
from smartlearn.stream_processors.deriver import Deriver, RawOnly
from smartlearn.stream_processors.domain import grouping
from smartlearn.stream_processors.domain.windows import MICROS
from smartlearn.stream_processors.fleet import Fleet
from smartlearn.stream_processors.intake import IntakeRules
from smartlearn.stream_processors.lane import Lane
from smartlearn.stream_processors.pane_deriver import PaneDeriver
from smartlearn.stream_processors.pane_store import PaneStore
from smartlearn.stream_processors.publisher import Publisher
from smartlearn.stream_processors.raw import MEASUREMENT_OF
from smartlearn.stream_processors.training import StepDeriver


def build_lanes(
    settings: Settings,
    store: MetricStore,
    publisher: Publisher,
    partitions: Mapping[str, int],
    boots: Mapping[str, str],
) -> dict[str, Lane]:
    """Topic → its lane.

    Args:
        settings: the settings.
        store: where everything is kept.
        publisher: where alerts, health, dead letters and forwards go.
        partitions: topic → how many partitions it has.
        boots: topic → what names its life, so that the offsets of another life are not mistaken for its own.
    """
    derivers = {
        Kind.PERFORMANCE: _performance(settings, store, publisher),
        Kind.INTERACTION: _interactions(settings, store),
        Kind.TRAINING: StepDeriver(store),
        Kind.RUN: RawOnly(),
        Kind.ANNOTATION: RawOnly(),
    }
    lanes = {}
    for kind, topic in TOPIC_OF.items():
        retention = store.retention(MEASUREMENT_OF[kind])
        rules = IntakeRules(
            kind=kind,
            partitions=partitions[topic],
            boot=boots[topic],
            future=round(settings.windows.future_s * MICROS),
            retention=None if retention is None else retention // 1000,
            kept_fields=settings.privacy.dead_letter_fields,
        )
        keep_raw = settings.store.raw or kind in (Kind.TRAINING, Kind.RUN, Kind.ANNOTATION)
        lanes[topic] = Lane(rules, boots[topic], store, publisher, derivers[kind], keep_raw=keep_raw)
    return lanes


def _performance(settings: Settings, store: MetricStore, publisher: Publisher) -> Deriver:
    length = round(settings.windows.pane_s * MICROS)
    nodes = PaneStore(store, "performance", "performance", "node", grouping.performance, length, False)
    fleet = PaneStore(store, "", "performance_fleet", "shard", grouping.performance, length, True)
    followers = (Fleet(nodes, fleet), Alerting(store, publisher, settings.rules, length))
    return PaneDeriver(nodes, settings.windows, lambda batch: batch.key, followers, keep_raw=settings.store.raw)


def _interactions(settings: Settings, store: MetricStore) -> Deriver:
    length = round(settings.windows.pane_s * MICROS)
    panes = PaneStore(store, "interactions", "interactions", "shard", grouping.interactions, length, True)
    return PaneDeriver(panes, settings.windows, lambda batch: str(shard_of(batch.key)), keep_raw=settings.store.raw)
