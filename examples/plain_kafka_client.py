"""Send events from a program that knows nothing of SmartLearn: JSON objects, and any Kafka client.

    python examples/plain_kafka_client.py --data-dir .smartlearn

One JSON object is one event; docs/schemas/performance.json says what may be in it. The key decides the partition, so
use the node's name, and `murmur2_random` where the client is librdkafka: Java's default, which the workers expect.
An event with another key, or none, is forwarded by the workers and not lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

TOPIC = "smartlearn.performance"


def broker_address(data_dir: Path) -> str | None:
    """The broker's address: from the environment, or from what a running stack left in its data directory."""
    address = os.environ.get("SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS")
    if address:
        return address
    record = data_dir / "stack.json"
    return str(json.loads(record.read_text())["kafka"]) if record.exists() else None


def main() -> int:
    """Send a minute of samples and tell how many the broker took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("SMARTLEARN_DATA_DIR", ".smartlearn"))
    parser.add_argument("--data-dir", type=Path, default=default, help="of the running stack")
    parser.add_argument("--node", default="plain-client", help="what the machine is called")
    arguments = parser.parse_args()

    address = broker_address(arguments.data_dir)
    if address is None:
        print(f"no stack runs in {arguments.data_dir}: start one with `smartlearn up`", file=sys.stderr)
        return 1

    producer = Producer(
        {"bootstrap.servers": address, "partitioner": "murmur2_random", "message.timeout.ms": 10_000, "log_level": 0}
    )
    delivered: list[int] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            print(f"not delivered: {error.str()}", file=sys.stderr)
        else:
            delivered.append(message.offset() or 0)

    now = datetime.now(UTC)
    for second in range(60):
        event = {
            "timestamp": (now - timedelta(seconds=60 - second)).isoformat(),
            "node": arguments.node,
            "cpu_usage": round(random.uniform(20, 60), 1),  # noqa: S311
            "memory_usage": 48.5,
            "metrics": {"open_files": 120 + second},
        }
        producer.produce(TOPIC, json.dumps(event), key=arguments.node, on_delivery=report)
        producer.poll(0)
    producer.flush(15)
    print(f"{len(delivered)} of 60 events of node {arguments.node} delivered to {TOPIC} at {address}")
    return 0 if len(delivered) == 60 else 1


if __name__ == "__main__":
    sys.exit(main())
