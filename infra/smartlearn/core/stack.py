"""The record a running local stack leaves in its data directory, so that every command finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from smartlearn.core.errors import StackError
from smartlearn.core.settings import Settings

ComponentState = Literal["starting", "running", "restarting", "stopping", "stopped"]


class Component(BaseModel):
    """One supervised process."""

    model_config = ConfigDict(extra="forbid")
    name: str
    pid: int | None
    state: ComponentState


class StackRecord(BaseModel):
    """What runs, and where. Written atomically by the supervisor as `stack.json`."""

    model_config = ConfigDict(extra="forbid")
    pid: int
    mode: Literal["embedded", "servers"]
    kafka: str
    kafka_epoch: str | None
    dashboard: str
    workers: int
    components: list[Component]

    @staticmethod
    def path(data_dir: Path) -> Path:
        """Where the record of a data directory stands."""
        return data_dir / "stack.json"

    @classmethod
    def read(cls, data_dir: Path) -> StackRecord | None:
        """The record of the stack of a data directory, or None where there is none.

        Raises:
            StackError: what stands there cannot be read, or is no record.
        """
        path = cls.path(data_dir)
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StackError(f"{path} is not the record of a stack: remove it once no stack runs there") from error
        except OSError as error:
            raise StackError(f"{path} cannot be read: {error.strerror}") from error

    def write(self, data_dir: Path) -> None:
        """Replace the record."""
        target = self.path(data_dir)
        temporary = target.with_suffix(f".{self.pid}.tmp")
        temporary.write_text(self.model_dump_json(indent=2))
        temporary.replace(target)


def with_stack(settings: Settings) -> Settings:
    """Settings whose unset broker is that of the stack recorded in their data directory, if there is one."""
    if settings.kafka.bootstrap_servers is not None:
        return settings
    record = StackRecord.read(settings.data_dir)
    if record is None:
        return settings
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": record.kafka, "epoch": record.kafka_epoch})
    return settings.model_copy(update={"kafka": kafka})
