"""One tree of settings: defaults < smartlearn.toml < SMARTLEARN_* environment < what a caller passes.

The environment is read in `load_settings` only, which entry points call; everything below them is handed values.
Nested names join with two underscores: SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS.
"""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic_settings
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from smartlearn.core.errors import SettingsError
from smartlearn.core.names import Label, MetricName

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHARDS = 48
"""Aggregates over many keys are kept per murmur2(key) mod 48; partition counts divide it."""


ENV_PREFIX = "SMARTLEARN_"
DEFAULT_FILE = "smartlearn.toml"
_MINUTE_US = 60_000_000
_COLOR = r"^(#[0-9a-fA-F]{3}|#[0-9a-fA-F]{6}|[a-zA-Z]+|(rgb|rgba|hsl|hsla)\([0-9., %]+\))$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


class KafkaSettings(_Section):
    """Where the broker is and how topics are laid out."""

    bootstrap_servers: str | None = Field(None, description="host:port,… ; empty: the embedded stack's broker")
    partitions: int = Field(12, description="partitions of each input topic; must divide 48")
    replication: int = Field(1, ge=1)
    group: str = Field("smartlearn-workers", description="the workers' consumer group")
    epoch: str | None = Field(
        None, description="names this start of a broker that forgets its topics; set by the local stack"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None

    @field_validator("partitions")
    @classmethod
    def _divides_shards(cls, value: int) -> int:
        if value < 1 or SHARDS % value:
            raise ValueError(f"must divide {SHARDS} (1, 2, 3, 4, 6, 8, 12, 16, 24 or 48)")
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _empty_is_unset(cls, value: str | None) -> str | None:
        return value or None


class InfluxSettings(_Section):
    """Where InfluxDB 2 is. Buckets are `<prefix>-<tier>`, made by `smartlearn store init`."""

    url: str | None = None
    org: str = "smartlearn"
    prefix: str = "smartlearn"
    token: SecretStr | None = None
    token_file: Path | None = Field(None, description="the file that holds the token, where `token` is unset")
    timeout_s: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _read_token(self) -> InfluxSettings:
        if self.token is None and self.token_file is not None:
            try:
                token = self.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise ValueError(
                    f"names {self.token_file} as its token_file, which cannot be read: {reason}"
                ) from error
            if not token:
                raise ValueError(f"names {self.token_file} as its token_file, which is empty")
            self.token = SecretStr(token)
        return self


class RetentionSettings(_Section):
    """How many days each tier is kept; None is for ever."""

    raw_days: float | None = Field(None, gt=0)
    training_days: float | None = Field(None, gt=0)
    interactions_days: float | None = Field(None, gt=0)
    panes_days: float | None = Field(None, gt=0)
    minutes_days: float | None = Field(None, gt=0)
    hours_days: float | None = Field(None, gt=0)
    history_days: float | None = Field(None, gt=0, description="training steps, health, alerts, runs and notes")


class StoreSettings(_Section):
    """Which store keeps the history."""

    kind: Literal["sqlite", "influxdb"] = "sqlite"
    sqlite_path: Path | None = Field(None, description="default: metrics.db in the data directory")
    influx: InfluxSettings = InfluxSettings()
    retention: RetentionSettings = RetentionSettings()
    raw: bool = Field(
        True, description="whether raw events are stored; without them late and imported ones change no aggregate"
    )


class WindowSettings(_Section):
    """Event-time windows, in seconds."""

    pane_s: float = Field(10.0, gt=0, description="must divide a minute")
    lateness_s: float = Field(30.0, ge=0)
    idle_s: float = Field(2.0, gt=0, description="a key is idle when nothing arrived for so long")
    future_s: float = Field(300.0, gt=0, description="an event further ahead of its record is dead-lettered")

    @field_validator("pane_s")
    @classmethod
    def _divides_a_minute(cls, value: float) -> float:
        microseconds = round(value * 1e6)
        if microseconds < 1 or _MINUTE_US % microseconds:
            raise ValueError("must divide a minute, as 1, 5, 10 and 30 do")
        return value


class RuleSettings(_Section):
    """One threshold rule: crossed when a pane's mean is above the level. Its component of the health has its name."""

    name: MetricName
    metric: MetricName
    unit: str
    warning: float
    critical: float
    ceiling: float = Field(description="the value at which a health component reaches 0")
    action: str

    @model_validator(mode="after")
    def _levels_ascend(self) -> RuleSettings:
        if not self.warning < self.critical < self.ceiling:
            raise ValueError("must have levels that ascend: warning < critical < ceiling")
        return self


DEFAULT_RULES = (
    RuleSettings(
        name="cpu_usage", metric="cpu_usage", unit="%", warning=70, critical=90, ceiling=100,
        action="Optimize processes",
    ),
    RuleSettings(
        name="memory_usage", metric="memory_usage", unit="%", warning=75, critical=85, ceiling=100,
        action="Clear cache",
    ),
    RuleSettings(
        name="gpu_memory", metric="gpu_memory", unit="%", warning=60, critical=80, ceiling=100,
        action="Reduce batch size",
    ),
    RuleSettings(
        name="response_time", metric="response_time", unit="ms", warning=2000, critical=5000, ceiling=10000,
        action="Optimize model",
    ),
)  # fmt: skip


class CollectionSettings(_Section):
    """What a node collects by itself, and how much it keeps."""

    interval_s: float = Field(5.0, gt=0)
    max_history: int = Field(1000, ge=1)
    performance: bool = True
    training: bool = True
    user: bool = True


class ProducerSettings(_Section):
    """How events leave a process."""

    linger_ms: float = Field(50.0, gt=0, description="a batch waits so long for more rows")
    batch_rows: int = Field(500, ge=1, le=10_000)
    queue_rows: int = Field(200_000, ge=1, description="rows held in memory; beyond it the spool takes over")
    spool_path: Path | None = Field(None, description="default: spool/ in the data directory")
    spool_bytes: int = Field(1 << 30, ge=1 << 16)
    flush_s: float = Field(5.0, gt=0, description="how long close() waits for delivery before it spools the rest")


class PrivacySettings(_Section):
    """How learners are made pseudonyms before anything leaves a process."""

    key_file: Path | None = Field(None, description="default: pseudonym.key in the data directory")
    dead_letter_fields: tuple[str, ...] = Field(
        ("timestamp", "action", "subject", "difficulty", "response_time", "accuracy", "engagement_score"),
        description="fields of a rejected interaction whose values are kept; the others are masked",
    )
    minimum_group: int = Field(5, ge=1, description="groups of fewer learners are hidden on the dashboards")


class DashboardSettings(_Section):
    """How the dashboards are served and look."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8050
    refresh_s: float = Field(10.0, ge=1)
    palette: Literal["default", "classic"] = "default"
    colors: dict[str, Annotated[str, Field(pattern=_COLOR)]] = Field(
        default_factory=dict, description="metric → CSS colour, over the palette"
    )
    title: str = "SmartLearn Metrics"
    risk_accuracy: float = Field(0.6, ge=0, le=1, description="learners whose last answers are worse count as at risk")


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", validate_default=True
    )

    data_dir: Path = Path(".smartlearn")
    node: Label = Field(default_factory=socket.gethostname)
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    windows: WindowSettings = WindowSettings()
    rules: tuple[RuleSettings, ...] = DEFAULT_RULES
    collection: CollectionSettings = CollectionSettings()
    producer: ProducerSettings = ProducerSettings()
    privacy: PrivacySettings = PrivacySettings()
    dashboard: DashboardSettings = DashboardSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Init over environment over smartlearn.toml (or the file that SMARTLEARN_CONFIG names)."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file())

    @field_validator("rules")
    @classmethod
    def _names_are_fields_of_health(cls, value: tuple[RuleSettings, ...]) -> tuple[RuleSettings, ...]:
        # The stores are built on the settings; they are complete by the time a tree is validated.
        from smartlearn.core.stores.base import is_text_field

        names = [rule.name for rule in value]
        if len(set(names)) < len(names):
            raise ValueError("must have a name of its own each")
        for name in names:
            if name in ("node", "score") or is_text_field(name):
                raise ValueError(f"must not have the name {name}, which health uses itself")
        return value

    @property
    def sqlite_path(self) -> Path:
        """The embedded store's file."""
        return self.store.sqlite_path or self.data_dir / "metrics.db"

    @property
    def spool_path(self) -> Path:
        """The folder of the producers' spools."""
        return self.producer.spool_path or self.data_dir / "spool"

    @property
    def key_file(self) -> Path:
        """The file of the pseudonym key."""
        return self.privacy.key_file or self.data_dir / "pseudonym.key"


def _file() -> Path:
    """The settings file: smartlearn.toml where one stands here, or the one that SMARTLEARN_CONFIG names."""
    return Path(os.environ.get(f"{ENV_PREFIX}CONFIG") or DEFAULT_FILE)


def load_settings(**values: Any) -> Settings:
    """Read settings from the file and the environment; `values` go over both, None is not given.

    Raises:
        SettingsError: a setting is unknown or not allowed; the message names it and the rule.
    """
    file = _file()
    if file != Path(DEFAULT_FILE) and not file.is_file():
        raise SettingsError(f"there is no settings file {file}, which {ENV_PREFIX}CONFIG names")
    _refuse_unknown_sections()
    try:
        return Settings(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(_sentence(error.errors()[0])) from error
    except pydantic_settings.SettingsError as error:
        raise SettingsError(
            f"the environment holds a setting that is not JSON, as a whole section must be: {error}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {file} is not TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror}") from error


def _refuse_unknown_sections() -> None:
    """A variable of a section that does not exist would be passed over in silence otherwise."""
    for variable in os.environ:
        section, nested, _ = variable.upper().removeprefix(ENV_PREFIX).partition("__")
        if nested and variable.upper().startswith(ENV_PREFIX) and section.lower() not in Settings.model_fields:
            raise SettingsError(f"there is no setting {variable}: {section.lower()} is no section of the settings")


def _sentence(error: ErrorDetails) -> str:
    """What is wrong with one setting; a secret, or the section around one, is not repeated."""
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no setting {name}: look for its name in the documentation, or remove it"
    if error["type"] == "missing":
        return f"the setting {name} is missing"
    reason = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    value = error["input"]
    hidden = any(word in name for word in ("password", "token"))
    if hidden or not isinstance(value, str | int | float):
        return f"the setting {name} {_lowered(reason)}"
    return f"the setting {name} {_lowered(reason)}, and is {str(value)[:100]!r}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
