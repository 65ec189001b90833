"""Where metrics are kept: one interface, a file for one machine, a server for more."""

from __future__ import annotations

from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import MetricStore


def open_store(settings: Settings) -> MetricStore:
    """The store that the settings name.

    Raises:
        StoreUnavailable: it cannot be opened or does not answer.
        SettingsError: a setting that it needs is missing.
    """
    if settings.store.kind == "sqlite":
        from smartlearn.core.stores.sqlite import SqliteStore

        return SqliteStore(settings.sqlite_path, settings.store.retention)
    from smartlearn.core.stores.influx import InfluxStore

    return InfluxStore(settings.store.influx, settings.store.retention)
