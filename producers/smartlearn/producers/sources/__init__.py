"""Where a node's own metrics come from, one source a file."""
