"""What the dashboard's `/health` says, in a sentence."""

from __future__ import annotations

from typing import Any

from smartlearn.ops.http import Answer

_WELL = ("ok", "running")


def unhealthy(answer: Answer | None) -> str | None:
    """What is not well, or None where all is."""
    if answer is None:
        return "the dashboard does not answer"
    if answer.status == 200:
        return None
    parts: Any = answer.body.get("components") if isinstance(answer.body, dict) else None
    if not isinstance(parts, dict):
        return f"the dashboard answers with status {answer.status}"
    workers = parts.get("workers")
    named = {name: part for name, part in parts.items() if name != "workers"}
    named |= workers if isinstance(workers, dict) else {}
    bad = [_sentence(name, part) for name, part in named.items() if isinstance(part, dict)]
    return ", ".join(sentence for sentence in bad if sentence) or f"the dashboard says {answer.body.get('status')}"


def _sentence(name: str, part: dict[str, Any]) -> str:
    state = part.get("state")
    if state in _WELL:
        return ""
    reason = part.get("reason")
    return f"{name} is {state}: {reason}" if reason else f"{name} is {state}"
