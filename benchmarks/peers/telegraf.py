"""Telegraf: `kafka_consumer` into `influxdb_v2`, lists of events, as it is set up for much data."""

from __future__ import annotations

from benchmarks.peers import install
from benchmarks.report import CannotRun
from benchmarks.stage import Carried, Load, Stage, inherited
from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import InfluxSettings, RetentionSettings
from smartlearn.core.stores.influx_setup import init_influx

_CONFIGURATION = """
[agent]
  omit_hostname = true
  flush_interval = "1s"
  metric_batch_size = 10000
  metric_buffer_limit = 1000000
[[inputs.kafka_consumer]]
  brokers = ["{kafka}"]
  topics = ["{topic}"]
  consumer_group = "{group}"
  version = "4.1.0"
  offset = "oldest"
  max_undelivered_messages = 400
  max_message_len = 8000000
  data_format = "json"
  json_time_key = "timestamp"
  json_time_format = "2006-01-02T15:04:05Z07:00"
  tag_keys = ["node"]
[[outputs.influxdb_v2]]
  urls = ["{influx}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
"""


def carry(stage: Stage, load: Load) -> Carried:
    """How many samples a second it reads and writes as points."""
    program = install.telegraf()
    name = stage.name("telegraf")
    buckets = InfluxSettings(url=stage.record.influxdb_url, org=stage.record.org, prefix=name)
    try:
        init_influx(buckets, RetentionSettings(), stage.influx_token)
    except SmartLearnError as error:
        raise CannotRun(str(error)) from error
    file = stage.folder / f"{name}.conf"
    file.write_text(
        _CONFIGURATION.format(
            kafka=stage.record.kafka,
            topic=load.topic,
            group=name,
            influx=stage.record.influxdb_url,
            token=stage.influx_token,
            org=stage.record.org,
            bucket=f"{name}-raw",
        )
    )
    with stage.running([str(program), "--config", str(file)], inherited(), "telegraf") as process:
        return stage.carried(name, load, {"Telegraf": process})
