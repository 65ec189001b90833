"""Every error this system raises on purpose.

    SmartLearnError
    ├── SettingsError           a setting is missing or out of range
    ├── InvalidMessage          bytes that are not an event or a batch of the contract
    ├── InvalidExport           an export file that does not follow its schema
    ├── InvalidQuery            a query that names what does not exist or cannot be
    ├── StoreError
    │   ├── StoreUnavailable    the store does not answer; the same call may succeed later
    │   └── StoreRejected       the store answered no; the same call fails again
    ├── BrokerError
    │   ├── BrokerUnavailable   no broker answers at the address
    │   └── TopicMismatch       a topic exists with another configuration
    └── StackError              a local stack cannot start, or is not where it was expected

The message of each is one sentence for the person at the keyboard: what happened, to what, what to do. Its
`exit_code` is what a command ends with, for scripts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a script may rely on."""

    OK = 0
    FAILED = 1
    """A check failed, something is down, or nothing runs."""
    USAGE = 2
    """A flag, a setting, a file or a query is wrong."""
    UNREACHABLE = 3
    """The broker or the store does not answer, or refuses."""
    INTERRUPTED = 130


class SmartLearnError(Exception):
    """The root of the tree: catch it to catch all of ours."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class SettingsError(SmartLearnError):
    """A setting is missing or out of range."""

    exit_code = ExitCode.USAGE


class InvalidMessage(SmartLearnError):
    """Bytes that are not an event or a batch of the contract.

    Attributes:
        field: the field at fault, or None where the whole message is.
        row: the number of the row at fault in a batch, or None.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, reason: str, *, field: str | None = None, row: int | None = None) -> None:
        super().__init__(reason)
        self.field = field
        self.row = row


class InvalidExport(SmartLearnError):
    """An export file that does not follow its schema; names the record and the field."""

    exit_code = ExitCode.USAGE


class InvalidQuery(SmartLearnError):
    """A query that names what does not exist or asks for what cannot be."""

    exit_code = ExitCode.USAGE


class StoreError(SmartLearnError):
    """The root of what a store raises."""

    exit_code = ExitCode.UNREACHABLE


class StoreUnavailable(StoreError):
    """The store does not answer, or asks to wait; the same call may succeed later.

    Attributes:
        retry_after: seconds the store asked to wait, or None.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class StoreRejected(StoreError):
    """The store answered no (wrong token, unknown bucket, malformed request)."""


class BrokerError(SmartLearnError):
    """The root of what goes wrong with the broker."""

    exit_code = ExitCode.UNREACHABLE


class BrokerUnavailable(BrokerError):
    """No broker answers at the address."""


class TopicMismatch(BrokerError):
    """A topic exists with another configuration than the settings ask for."""


class StackError(SmartLearnError):
    """A local stack cannot start, or is not where it was expected."""
