"""What is pushed to open pages: one consumer of the live and alert topics, one board, a bounded queue a client."""

from smartlearn.dashboard.live.board import Board
from smartlearn.dashboard.live.feed import LiveFeed
from smartlearn.dashboard.live.push import LiveHub

__all__ = ["Board", "LiveFeed", "LiveHub"]
