"""What the workers compute: pure, without Kafka, I/O or a clock.

Times are µs since the epoch unless a name says otherwise.
"""
