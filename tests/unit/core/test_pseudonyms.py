from __future__ import annotations

import hashlib
import hmac
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smartlearn.core.errors import SettingsError
from smartlearn.core.pseudonyms import Pseudonymizer, load_key
from smartlearn.core.text_columns import pseudonym_fault

KEY = bytes(range(32))


def test_a_pseudonym_is_the_hmac_of_the_id() -> None:
    names = Pseudonymizer(KEY)
    digest = hmac.new(KEY, b"user_1", hashlib.sha256).hexdigest()[:32]
    assert names.of("user_1") == f"p1_{names.key_id}_{digest}"
    assert names.of("user_1") == Pseudonymizer(KEY).of("user_1")


@pytest.mark.parametrize("user_id", ["", "x" * 10_000, "élève", "a\nb", "\ud800", "p1_0123abcd_short"])
def test_every_id_becomes_a_pseudonym_that_the_contract_takes(user_id: str) -> None:
    assert pseudonym_fault(Pseudonymizer(KEY).of(user_id)) is None


def test_a_pseudonym_of_whatever_key_passes_unchanged() -> None:
    pseudonym = Pseudonymizer(KEY).of("user_1")
    assert Pseudonymizer(b"another key of 32 bytes........!").of(pseudonym) == pseudonym


def test_another_key_gives_another_pseudonym_and_another_key_id() -> None:
    one, other = Pseudonymizer(KEY), Pseudonymizer(KEY[::-1])
    assert one.key_id != other.key_id
    assert one.of("user_1")[12:] != other.of("user_1")[12:]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="the pseudonym key has 3 bytes and needs at least 16"):
        Pseudonymizer(b"abc")


def test_a_missing_key_is_made_for_its_owner_only_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pseudonym.key"
    key = load_key(path, create=True)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path, create=True) == load_key(path, create=False) == key
    assert [file.name for file in path.parent.iterdir()] == ["pseudonym.key"]


def test_a_missing_key_that_must_not_be_made_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no pseudonym key at .*: copy the one that the other nodes use"):
        load_key(tmp_path / "pseudonym.key", create=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"short"])
def test_an_empty_or_short_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pseudonym.key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"has {len(content)} bytes and needs at least 16"):
        load_key(path, create=True)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_read_or_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: Is a directory"):
        load_key(tmp_path, create=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match="cannot be read: Not a directory"):
        load_key(tmp_path / "file" / "pseudonym.key", create=True)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere" / "deeper")
    with pytest.raises(SettingsError, match=r"the pseudonym key .* cannot be made: File exists"):
        load_key(tmp_path / "gone" / "pseudonym.key", create=True)


def test_processes_that_create_at_the_same_time_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    program = (
        "import sys; from pathlib import Path; from smartlearn.core.pseudonyms import load_key; "
        "print('ready', flush=True); sys.stdin.readline(); print(load_key(Path(sys.argv[1]), create=True).hex())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert keys == {path.read_bytes().hex()}


def test_a_key_that_another_process_made_in_between_is_the_one_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pseudonym.key"

    def made_meanwhile(_self: Path, _target: Path) -> None:
        path.write_bytes(KEY)
        raise FileExistsError

    monkeypatch.setattr(Path, "hardlink_to", made_meanwhile)
    assert load_key(path, create=True) == KEY
    assert [file.name for file in tmp_path.iterdir()] == ["pseudonym.key"]
