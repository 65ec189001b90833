"""The ground: settings, the wire contract, mergeable aggregates and stores. It imports nothing else of ours."""
