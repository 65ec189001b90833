"""What an InfluxDB 2 server needs before it keeps metrics: buckets with their retention, and two tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smartlearn.core.errors import SettingsError, StoreRejected
from smartlearn.core.settings import InfluxSettings, RetentionSettings
from smartlearn.core.stores.influx import STATE, bucket_of
from smartlearn.core.stores.influx_client import PATIENCE_S, InfluxClient
from smartlearn.core.stores.tiers import TIERS, retention_ns

_SHORTEST_S = 3600
_DAY_S = 86_400
_PAGE = 100


@dataclass(frozen=True, slots=True)
class InfluxTokens:
    """What `init_influx` hands out.

    Attributes:
        write: reads and writes the buckets; for workers, imports and resets.
        read: reads the buckets; for dashboards and queries.
        changes: what was made or changed, a sentence each; empty where all was right already.
    """

    write: str
    read: str
    changes: tuple[str, ...]


def init_influx(
    settings: InfluxSettings,
    retention: RetentionSettings,
    admin_token: str,
    *,
    patience_s: float = PATIENCE_S,
) -> InfluxTokens:
    """Make the buckets and the two tokens, or bring what is there in line with the settings.

    Raises:
        SettingsError: a retention is shorter than the hour that InfluxDB keeps at least.
        StoreRejected: the token may not do it, or the organisation does not exist.
        StoreUnavailable: the server does not answer.
    """
    kept = {bucket_of(settings.prefix, tier): _seconds(tier, retention_ns(tier, retention)) for tier in TIERS}
    kept[bucket_of(settings.prefix, STATE)] = 0
    client = InfluxClient(settings, token=admin_token, patience_s=patience_s)
    try:
        changes: list[str] = []
        org_id = _organisation(client, settings.org)
        present = {bucket["name"]: bucket for bucket in _all(client, "buckets", {"orgID": org_id})}
        ids = [_bucket(client, org_id, name, seconds, present, changes) for name, seconds in kept.items()]
        write = _token(client, org_id, f"{settings.prefix} write", ids, ("read", "write"), changes)
        read = _token(client, org_id, f"{settings.prefix} read", ids, ("read",), changes)
    finally:
        client.close()
    return InfluxTokens(write, read, tuple(changes))


def _seconds(tier: str, kept_ns: int | None) -> int:
    seconds = 0 if kept_ns is None else kept_ns // 1_000_000_000
    if kept_ns is not None and seconds < _SHORTEST_S:
        raise SettingsError(f"setting store.retention.{tier}_days: InfluxDB keeps nothing for less than an hour")
    return seconds


def _all(client: InfluxClient, kind: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every organisation or bucket; asked by name, the server answers an unknown one with an error."""
    found: list[dict[str, Any]] = []
    while True:
        paged = {**query, "limit": str(_PAGE), "offset": str(len(found))}
        page = client.request("GET", f"/api/v2/{kind}", paged, subject=f"the list of {kind}")[kind]
        found.extend(page)
        if len(page) < _PAGE:
            return found


def _organisation(client: InfluxClient, name: str) -> str:
    for found in _all(client, "orgs", {}):
        if found["name"] == name:
            return str(found["id"])
    raise StoreRejected(f"InfluxDB at {client.url} has no organisation {name}; make it, or set store.influx.org")


def _bucket(
    client: InfluxClient, org_id: str, name: str, seconds: int, present: Mapping[str, Any], changes: list[str]
) -> str:
    subject = f"bucket {name}"
    rules = [{"type": "expire", "everySeconds": seconds, "shardGroupDurationSeconds": _shard_s(seconds)}]
    if name not in present:
        asked = {"orgID": org_id, "name": name, "retentionRules": rules}
        changes.append(f"made bucket {name}, kept {_duration(seconds)}")
        return str(client.request("POST", "/api/v2/buckets", body=asked, subject=subject)["id"])
    number = str(present[name]["id"])
    kept = next((int(rule["everySeconds"]) for rule in present[name]["retentionRules"]), 0)
    if kept != seconds:
        client.request("PATCH", f"/api/v2/buckets/{number}", body={"retentionRules": rules}, subject=subject)
        changes.append(f"bucket {name} is now kept {_duration(seconds)}, no longer {_duration(kept)}")
    return number


def _shard_s(kept_s: int) -> int:
    """How much time a file of the server spans; its own rule, which it does not apply when retention changes."""
    if not kept_s or kept_s > 180 * _DAY_S:
        return 7 * _DAY_S
    return _DAY_S if kept_s > 2 * _DAY_S else 3600


def _duration(seconds: int) -> str:
    return f"{seconds / _DAY_S:g} days" if seconds else "for ever"


def _token(
    client: InfluxClient,
    org_id: str,
    description: str,
    bucket_ids: list[str],
    actions: tuple[str, ...],
    changes: list[str],
) -> str:
    """The token of a description: the one that is there if it still fits, else a new one in its place."""
    path, subject = "/api/v2/authorizations", f"token '{description}'"
    wanted = {(action, bucket_id) for action in actions for bucket_id in bucket_ids}
    for found in client.request("GET", path, {"orgID": org_id}, subject=subject)["authorizations"]:
        if found["description"] != description:
            continue
        granted = {(permission["action"], permission["resource"].get("id")) for permission in found["permissions"]}
        if granted == wanted and found["status"] == "active" and found.get("token"):
            return str(found["token"])
        client.request("DELETE", f"{path}/{found['id']}", subject=subject)
    permissions = [
        {"action": action, "resource": {"type": "buckets", "id": bucket_id, "orgID": org_id}}
        for action, bucket_id in sorted(wanted)
    ]
    asked = {"orgID": org_id, "description": description, "permissions": permissions}
    made = client.request("POST", path, body=asked, subject=subject)
    changes.append(f"made {subject}")
    return str(made["token"])
