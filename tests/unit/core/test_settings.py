from __future__ import annotations

import os
from pathlib import Path

import pytest

from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No smartlearn.toml and no variable of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("SMARTLEARN_"):
            monkeypatch.delenv(name)


def refusal(**values: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**values)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_without_a_file_and_an_environment_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings.kafka.partitions == 12
    assert settings.data_dir == Path(".smartlearn")
    assert [rule.name for rule in settings.rules] == ["cpu_usage", "memory_usage", "gpu_memory", "response_time"]
    assert settings.sqlite_path == Path(".smartlearn/metrics.db")
    assert settings.spool_path == Path(".smartlearn/spool")
    assert settings.key_file == Path(".smartlearn/pseudonym.key")


def test_arguments_go_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smartlearn.toml").write_text(
        'node = "file"\n[kafka]\npartitions = 6\ngroup = "file"\n[dashboard]\nport = 1\n'
    )
    monkeypatch.setenv("SMARTLEARN_KAFKA__PARTITIONS", "8")
    monkeypatch.setenv("SMARTLEARN_DASHBOARD__PORT", "2")
    settings = load_settings(dashboard={"port": 3}, data_dir=None)
    assert (settings.node, settings.kafka.group) == ("file", "file")
    assert settings.kafka.partitions == 8
    assert settings.dashboard.port == 3


def test_the_file_may_stand_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text('node = "other"')
    monkeypatch.setenv("SMARTLEARN_CONFIG", "other.toml")
    assert load_settings().node == "other"


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_CONFIG", "gone.toml")
    assert refusal() == "there is no settings file gone.toml, which SMARTLEARN_CONFIG names"


@pytest.mark.parametrize("content", [b"node = ", b"\xff\xfe", b"node = 1\nnode = 2"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "smartlearn.toml").write_bytes(content)
    assert refusal().startswith("the settings file smartlearn.toml is not TOML: ")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smartlearn.toml").write_bytes(b"")

    def locked(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", locked)
    assert refusal() == "the settings file smartlearn.toml cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("KAFKA__PARTITIONS", "5", "must divide 48 (1, 2, 3, 4, 6, 8, 12, 16, 24 or 48)"),
        ("KAFKA__PARTITIONS", "0", "must divide 48 (1, 2, 3, 4, 6, 8, 12, 16, 24 or 48)"),
        ("KAFKA__PARTITIONS", "many", "should be a valid integer, unable to parse string as an integer"),
        ("DASHBOARD__PORT", "70000", "should be less than or equal to 65535"),
        ("STORE__KIND", "mysql", "should be 'sqlite' or 'influxdb'"),
        ("STORE__RETENTION__RAW_DAYS", "0", "should be greater than 0"),
        ("WINDOWS__PANE_S", "7", "must divide a minute, as 1, 5, 10 and 30 do"),
        ("WINDOWS__PANE_S", "inf", "should be a finite number"),
        ("NODE", "", "string should have at least 1 character"),
    ],
)  # fmt: skip
def test_a_bad_variable_gives_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(f"SMARTLEARN_{variable}", value)
    assert refusal() == f"the setting {variable.lower().replace('__', '.')} {rule}, and is '{value}'"


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_KAFKA__BROKERS", "x")
    assert refusal() == "there is no setting kafka.brokers: look for its name in the documentation, or remove it"


def test_a_variable_of_an_unknown_section_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_KAFAK__GROUP", "x")
    assert refusal() == "there is no setting SMARTLEARN_KAFAK__GROUP: kafak is no section of the settings"


def test_a_section_that_is_not_json_gives_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_KAFKA", "{partitions")
    assert refusal().startswith("the environment holds a setting that is not JSON, as a whole section must be: ")


def test_an_unknown_key_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "smartlearn.toml").write_text("[store]\nknd = 'sqlite'\n")
    assert refusal() == "there is no setting store.knd: look for its name in the documentation, or remove it"


def test_an_unknown_argument_is_named() -> None:
    assert refusal(nodes="x").startswith("there is no setting nodes: ")


def test_a_variable_of_a_process_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_WORKER_NAME", "worker-1")
    assert load_settings().node


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[kafka]\nsasl_password = 12345", "the setting kafka.sasl_password"),
        ("[kafka]\nsasl_password = 'hunter2'\npartitions = 5", "the setting kafka.partitions must divide 48"),
        ("[store.influx]\ntoken = ['hunter2', 12345]", "the setting store.influx.token"),
        ("kafka = 'hunter2:12345'", "the setting kafka should be"),
    ],
)
def test_a_secret_is_not_repeated(tmp_path: Path, toml: str, sentence: str) -> None:
    (tmp_path / "smartlearn.toml").write_text(toml)
    message = refusal()
    assert message.startswith(sentence)
    if not toml.startswith("kafka"):
        assert "hunter2" not in message
        assert "12345" not in message


def test_secrets_do_not_show_in_the_settings() -> None:
    assert "hunter2" not in repr(
        load_settings(kafka={"sasl_password": "hunter2"}, store={"influx": {"token": "hunter2"}})
    )


RULE = {"name": "x", "metric": "x", "unit": "%", "warning": 1, "critical": 2, "ceiling": 3, "action": "Look"}


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ([RULE | {"warning": 2}], "the setting rules.0 must have levels that ascend: warning < critical < ceiling"),
        ([RULE, RULE], "the setting rules must have a name of its own each"),
        ([{**RULE, "metric": "CPU"}], "the setting rules.0.metric string should match pattern"),
        ([{"name": "x"}], "the setting rules.0.metric is missing"),
        ([{**RULE, "name": "CPU usage"}], "the setting rules.0.name string should match pattern"),
        ([{**RULE, "name": "score"}], "the setting rules must not have the name score, which health uses itself"),
        ([{**RULE, "name": "status"}], "the setting rules must not have the name status, which health uses itself"),
    ],
)
def test_a_bad_rule_gives_one_sentence(rules: list[dict[str, object]], sentence: str) -> None:
    assert refusal(rules=rules).startswith(sentence)


def test_an_empty_broker_is_the_embedded_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS", "")
    assert load_settings().kafka.bootstrap_servers is None


@pytest.mark.parametrize("color", ["#1f77b4", "teal", "rgb(1, 2, 3)", "hsl(210, 50%, 40%)"])
def test_a_color_is_css(color: str) -> None:
    assert load_settings(dashboard={"colors": {"cpu_usage": color}}).dashboard.colors == {"cpu_usage": color}
    assert refusal(dashboard={"colors": {"cpu_usage": color + ";}"}}).startswith(
        "the setting dashboard.colors.cpu_usage"
    )


@pytest.mark.parametrize("pane", [0.25, 0.5, 1, 2, 5, 10, 15, 30, 60])
def test_a_pane_may_be_any_part_of_a_minute(pane: float) -> None:
    assert Settings(windows={"pane_s": pane}).windows.pane_s == pane
