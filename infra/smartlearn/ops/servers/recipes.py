"""Building the servers: jars through Maven, InfluxDB through Go and Rust, each once for each change of its recipe."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from smartlearn.core.errors import StackError

CACHE_VARIABLE = "SMARTLEARN_CACHE_DIR"
"""Names another folder for the cache."""

_RECIPES = Path(__file__).resolve().parents[3] / "deploy" / "native"
_NEEDED = {
    "kafka": {"java": "a JDK, 17 or newer", "mvn": "Maven"},
    "influxdb": {"go": "Go", "cargo": "Rust with cargo", "gcc": "gcc", "pkg-config": "pkg-config"},
}
_OLDEST_JAVA = 17
_INFLUXD = "github.com/influxdata/influxdb/v2"
_TAIL_LINES = 15

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """Where the servers are.

    Attributes:
        kafka: the folder of Kafka's jars.
        log4j: Kafka's logging configuration.
        influxd: the InfluxDB server.
    """

    kafka: Path
    log4j: Path
    influxd: Path


def cache_dir() -> Path:
    """The folder that builds are kept in."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "smartlearn-metrics"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartlearn-metrics"


def built(cache: Path | None = None) -> Built | None:
    """The servers, where both have been built from the recipes of this checkout."""
    found = _places(cache or cache_dir())
    return found if found.kafka.is_dir() and found.influxd.is_file() else None


def build(cache: Path | None = None, *, say: Say = lambda _: None) -> Built:
    """Build what is missing: Kafka takes seconds, InfluxDB about ten minutes with empty caches.

    Args:
        cache: where to keep the result, instead of `cache_dir`.
        say: is told each step.

    Raises:
        StackError: a tool is missing, or a build failed; the message has its last lines.
    """
    cache = cache or cache_dir()
    places = _places(cache)
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / "build.lock", say):
        if not places.kafka.is_dir():
            _require("kafka")
            say("fetching Apache Kafka through Maven")
            with _workshop(cache, "kafka", places.kafka.parent) as folder:
                target = f"-DoutputDirectory={folder / places.kafka.name}"
                _run(["mvn", "-B", "-q", "dependency:copy-dependencies", "-DincludeScope=runtime", target], folder)
        if not places.influxd.is_file():
            _require("influxdb")
            say("building InfluxDB with Go and Rust; with empty caches this takes about ten minutes")
            with _workshop(cache, "influxdb", places.influxd.parent) as folder:
                _build_influxd(folder)
    return places


def _build_influxd(folder: Path) -> None:
    environment = {
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "CGO_ENABLED": "1",
        "RUSTC_WORKSPACE_WRAPPER": str(folder / "cap-lints"),
        **_rust_toolchain(),
    }
    _run(["go", "build", "-o", "pkg-config", "github.com/influxdata/pkg-config"], folder, environment)
    version = _version(folder / "go.mod", rf"{_INFLUXD} (v\S+)")
    flags = f"-s -w -X main.version={version}"
    environment["PKG_CONFIG"] = str(folder / "pkg-config")
    _run(["go", "build", "-o", "influxd", "-ldflags", flags, f"{_INFLUXD}/cmd/influxd"], folder, environment)


def _rust_toolchain() -> dict[str, str]:
    """The installed tool chain by name: Flux's own file names an old one, which rustup would then look for."""
    if shutil.which("rustup") is None:
        return {}
    shown = subprocess.run(["rustup", "show", "active-toolchain"], capture_output=True, text=True, check=False)
    return {"RUSTUP_TOOLCHAIN": shown.stdout.split()[0]} if shown.stdout else {}


def _places(cache: Path) -> Built:
    """Where a build is kept: the version for people, the hash of the recipe so that a change builds again."""
    if not _RECIPES.is_dir():
        raise StackError(
            "the native servers are built from infra/deploy/native of a checkout, and this installation has none; "
            "clone the repository and install it with `pip install -e .`"
        )
    kafka = _version(_RECIPES / "kafka" / "pom.xml", r"<kafka.version>(.+)</kafka.version>")
    influxdb = _version(_RECIPES / "influxdb" / "go.mod", rf"{_INFLUXD} v(\S+)")
    jars = cache / f"kafka-{kafka}-{_fingerprint(_RECIPES / 'kafka')}"
    server = cache / f"influxdb-{influxdb}-{_fingerprint(_RECIPES / 'influxdb')}"
    return Built(jars / "libs", jars / "log4j2.properties", server / "influxd")


def _version(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.read_text())
    if found is None:
        raise StackError(f"{path} names no version")
    return found[1]


def _fingerprint(folder: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:8]


def _require(server: str) -> None:
    missing = [f"{tool} ({what})" for tool, what in _NEEDED[server].items() if shutil.which(tool) is None]
    if missing:
        raise StackError(f"to build {server}, install {', '.join(missing)}; see infra/deploy/native/README.md")
    if server == "kafka":
        shown = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
        found = re.search(r'version "(\d+)', shown)
        if found is None or int(found[1]) < _OLDEST_JAVA:
            raise StackError(f"Kafka needs Java {_OLDEST_JAVA} or newer, and `java -version` says: {shown.strip()}")


@contextlib.contextmanager
def _alone(lock: Path, say: Say) -> Iterator[None]:
    """Two builds into one cache do not meet."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build into the same cache")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _workshop(cache: Path, recipe: str, target: Path) -> Iterator[Path]:
    """A folder with the recipe to build in, which becomes `target` when all went well."""
    folder = Path(tempfile.mkdtemp(prefix=f"building-{recipe}-", dir=cache))
    try:
        shutil.copytree(_RECIPES / recipe, folder, dirs_exist_ok=True)
        yield folder
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-_TAIL_LINES:])
        raise StackError(f"`{' '.join(command[:4])} …` failed with exit code {done.returncode}:\n{tail}")
