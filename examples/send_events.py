"""Send your own metrics: a machine, a training, two learners and a model's answers.

    python examples/send_events.py --data-dir .smartlearn

Nothing here waits for Kafka: without a broker the events are kept on disk and sent by the next program that has one.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from datetime import datetime
from pathlib import Path

from smartlearn.core.settings import load_settings
from smartlearn.metrics import MetricsCollector, PerformanceMetrics, UserMetrics, time_model, track_training


def main() -> int:
    """Record some metrics and tell what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data-dir", type=Path, help="of the running stack; default: SMARTLEARN_DATA_DIR, ./.smartlearn"
    )
    parser.add_argument("--node", default="example-node", help="what this machine calls itself")
    parser.add_argument("--run", default=None, help="what the training is called; default: a new name")
    arguments = parser.parse_args()

    settings = load_settings(data_dir=arguments.data_dir, node=arguments.node)
    collector = MetricsCollector(settings=settings, run=arguments.run)

    # A sample of a machine. `collector.start_collection()` takes one of this machine every five seconds.
    collector.add_performance_metrics(
        PerformanceMetrics(
            datetime.now().astimezone(), cpu_usage=42.0, memory_usage=63.5, metrics={"queue_length": 3.0}
        )
    )

    # A training: steps, and what it says about itself.
    with track_training(total_steps=50, settings={"model": "example"}, collector=collector) as run:
        for step in range(50):
            loss = 2.0 * math.exp(-step / 20)
            if step % 10 == 9:
                run.step(loss, learning_rate=1e-3, validation_loss=loss * 1.1, accuracy=1 - loss / 2.2)
            else:
                run.step(loss, learning_rate=1e-3)

    # Learners. Only a keyed pseudonym of the id leaves this process.
    for learner in ("ada@example.org", "bob@example.org"):
        collector.add_user_metrics(
            UserMetrics(
                timestamp=datetime.now().astimezone(),
                user_id=learner,
                action="quiz",
                subject="mathematics",
                difficulty="intermediate",
                response_time=1500.0,
                accuracy=0.9,
                engagement_score=8.5,
            )
        )

    # How long a model takes for an answer.
    for _ in range(3):
        with time_model("example-1.0", collector=collector) as answer:
            time.sleep(0.01)
            answer.accuracy = 0.95

    delivered = collector.flush()
    for topic, counts in sorted(collector.counts().items()):
        print(f"{topic:28} {counts['delivered']:4} of {counts['produced']} events delivered")
    print(f"node {collector.node}, run {collector.run}")
    if not delivered:
        print("no broker took them; they are kept on disk and will be sent", file=sys.stderr)
    return 0 if delivered else 1


if __name__ == "__main__":
    sys.exit(main())
