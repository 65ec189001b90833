"""The documentation is held to the code: links, commands, settings, examples and the tests it names."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_origin

import pytest
import typer
from pydantic import BaseModel

from smartlearn.core.batch import Kind
from smartlearn.core.codec import decode
from smartlearn.core.schemas import MESSAGES
from smartlearn.core.settings import DEFAULT_RULES, Settings, load_settings
from smartlearn.core.topics import TOPIC_OF, topics
from smartlearn.ops.catalog import TAGS_OF
from smartlearn.ops.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("system", "ai", "training", "users", "realtime")
PICTURES = {f"docs/images/{page}-{scheme}.png" for page in PAGES for scheme in ("light", "dark")}
HOUSES = ("infra", "producers", "stream_processors", "dashboard")
GENERATED = {".venv", ".git", "artifacts", "dist", "node_modules"}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SOURCE = re.compile(r"""(?:src|srcset|href)=["']([^"']+)["']""")
_FENCE = re.compile(r"^```(\w*) ?([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_INDENTED = re.compile(r"^ {4,}(?=\S)(.*)$", re.MULTILINE)
_TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)?")


def documents() -> list[Path]:
    found = [path for path in ROOT.rglob("*.md") if not GENERATED & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def each_document() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@each_document()
def test_every_link_leads_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text())
    for target in {*_LINK.findall(text), *_SOURCE.findall(text)}:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        place = (path.parent / name).resolve() if name else path
        inside = place.relative_to(ROOT).as_posix()
        # Pictures are taken by `make screenshots`.
        assert place.exists() or inside in PICTURES, f"{target} is not there"
        if anchor:
            assert anchor in anchors(place), f"{target}: no such heading"


class Command(NamedTuple):
    path: str
    words: list[str]


@cache
def command_tree() -> Mapping[str, Any]:
    """Path of words → the command."""
    tree: dict[str, Any] = {}

    def walk(command: Any, path: str) -> None:
        tree[path] = command
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    walk(typer.main.get_command(app), "smartlearn")
    return tree


def code(text: str) -> Iterator[str]:
    """The inline spans and the lines of code blocks, with continued lines joined."""
    fenced = [body for _, _, body in _FENCE.findall(text)]
    rest = _FENCE.sub("", text)
    for block in [*fenced, "\n".join(_INDENTED.findall(rest))]:
        yield from block.replace("\\\n", " ").splitlines()
    yield from _SPAN.findall(rest)


def invocations(path: Path) -> Iterator[Command]:
    """Each `smartlearn …` in a document, split into the words of the command and what follows."""
    for line in code(path.read_text()):
        stripped = line.strip().removeprefix(".venv/bin/")
        if not re.match(r"smartlearn(\s|$)", stripped):
            continue
        words = shlex.split(stripped, comments=True)
        found, tree = words[0], command_tree()
        for word in words[1:]:
            if f"{found} {word}" not in tree:
                break
            found = f"{found} {word}"
        yield Command(found, words[len(found.split()) :])


@each_document()
def test_every_command_exists_with_its_flags(path: Path) -> None:
    for found, rest in invocations(path):
        command = command_tree()[found]
        said = " ".join([found, *rest])
        arguments = [word for word in rest if not word.startswith("-")]
        assert not (arguments and hasattr(command, "commands")), f"there is no command {said!r}"
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        flags = {flag for word in rest for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", word)}
        assert flags <= known | {"--help"}, f"{said!r}: {sorted(flags - known)}"


def test_every_query_example_names_what_the_store_holds() -> None:
    examples = 0
    for path in documents():
        for found, rest in invocations(path):
            if found != "smartlearn query" or not rest or not rest[0].islower():
                continue
            context = command_tree()[found].make_context("query", list(rest))
            measurement = context.params["measurement"]
            assert measurement in TAGS_OF
            for condition in context.params["where"] or ():
                assert condition.partition("=")[0] in TAGS_OF[measurement], condition
            examples += 1
    assert examples > 5


def test_the_measurements_are_all_documented_with_their_tags() -> None:
    rows = table_rows(ROOT / "docs" / "querying.md")
    found = {name: set(names(cells[1])) for cells in rows for name in names(cells[0]) if name in TAGS_OF}
    assert found == {name: set(tags) for name, tags in TAGS_OF.items()}


def table_rows(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell: str) -> list[str]:
    return _SPAN.findall(cell)


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and default of every setting; a list of models is one setting."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
            yield from leaves(annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field.get_default(call_default_factory=True)


def shown_default(name: str, default: Any) -> str:
    if name == "node":
        return "the host's name"
    if default is None:
        return "unset"
    if isinstance(default, dict) and not default:
        return "none"
    if isinstance(default, tuple):
        return ", ".join(f"`{value}`" for value in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {
        names(cells[0])[0]: cells[1]
        for cells in table_rows(ROOT / "docs" / "configuration.md")
        if len(cells) == 3 and names(cells[0])
    }
    settings = {name: shown_default(name, default) for name, default in leaves(Settings) if name != "rules"}
    assert settings == documented


def test_the_default_rules_are_documented() -> None:
    documented = [
        [names(cells[0])[0], names(cells[1])[0], *cells[2:]]
        for cells in table_rows(ROOT / "docs" / "configuration.md")
        if len(cells) == 7 and names(cells[0])
    ]
    expected = [
        [r.name, r.metric, r.unit, *(f"{v:g}" for v in (r.warning, r.critical, r.ceiling)), r.action]
        for r in DEFAULT_RULES
    ]
    assert documented == expected


def test_every_variable_that_the_docs_name_is_read() -> None:
    settings = {f"SMARTLEARN_{name.replace('.', '__').upper()}" for name, _ in leaves(Settings)}
    sources = "".join(path.read_text() for path in (ROOT / "infra" / "smartlearn").rglob("*.py"))
    for path in documents():
        for variable in set(re.findall(r"SMARTLEARN_[A-Z_]*[A-Z]", path.read_text())):
            name = variable.removeprefix("SMARTLEARN_")
            assert variable in settings or f'"{variable}"' in sources or f'PREFIX}}{name}"' in sources, variable


def examples() -> list[tuple[str, str]]:
    return [
        (label, body)
        for path in documents()
        for language, label, body in _FENCE.findall(path.read_text())
        if language == "json" and label
    ]


@pytest.mark.parametrize(("kind", "body"), examples())
def test_every_message_example_is_valid(kind: str, body: str) -> None:
    if kind in set(Kind):
        batch = decode(body.encode(), kind=Kind(kind), topic_boot="t", partition=0, offset=0)
        assert len(batch) > 0
    else:
        MESSAGES[kind].model_validate_json(body)


def test_every_kind_of_event_has_an_example() -> None:
    assert {kind for kind, _ in examples()} >= set(Kind)


def test_the_topics_are_documented() -> None:
    documented = {names(cells[0])[0] for cells in table_rows(ROOT / "docs" / "messages.md") if names(cells[0])}
    assert {topic.name for topic in topics(Settings().kafka)} <= documented
    assert set(TOPIC_OF.values()) <= documented


@each_document()
def test_what_python_examples_import_is_there(path: Path) -> None:
    for language, _, body in _FENCE.findall(path.read_text()):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smartlearn"):
                module = import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("name", ["README.md", "docs/sdk.md"])
def test_the_python_examples_run_without_a_broker(name: str, tmp_path: Path) -> None:
    blocks = [body for language, _, body in _FENCE.findall((ROOT / name).read_text()) if language == "python"]
    assert blocks
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SMARTLEARN_")}
    environment |= {"SMARTLEARN_DATA_DIR": str(tmp_path), "SMARTLEARN_PRODUCER__FLUSH_S": "0.2"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "spool").iterdir()), "events without a broker wait on disk"


@each_document()
def test_every_test_that_is_named_exists(path: Path) -> None:
    for target in set(_TEST.findall(path.read_text())):
        file, _, name = target.partition("::")
        assert (ROOT / file).is_file(), f"{file} is not there"
        if name:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (
                f"{target}: no such test"
            )


@each_document()
def test_every_make_command_is_a_target(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in code(path.read_text()):
        for target in re.findall(r"^make ([a-z-]+)", line.strip()):
            assert target in targets, f"make {target}: no such target"


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make run" in text
    assert "make test" in text


def test_every_file_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for name in set(re.findall(r"`([\w/*]+(?:\.py|/))`", text)):
        pattern = name.removesuffix("/")
        assert (ROOT / pattern).exists() or any(found for house in HOUSES for found in (ROOT / house).rglob(pattern)), (
            f"{name} is not there"
        )


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    decisions = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    listed = _LINK.findall((folder / "README.md").read_text())
    assert sorted(listed) == [path.name for path in decisions]
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]} "), path.name
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert part in text, f"{path.name}: {part}"


def test_no_file_names_a_path_of_one_machine() -> None:
    here = [path for path in (ROOT, Path.home()) if len(path.parts) > 2]
    folders = (*HOUSES, "tests", "docs", "examples", "benchmarks", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".cov")]
    personal = re.compile(r"/(?:home|Users)/(?!smartlearn\b)\w+/")
    for path in files:
        if "__pycache__" in path.parts or path.suffix in {".png", ".pyc"}:
            continue
        text = path.read_text(errors="replace")
        assert not personal.search(text), f"{path.relative_to(ROOT)} names somebody's folder"
        for place in here:
            assert f"{place}/" not in text, f"{path.relative_to(ROOT)} names {place}"


def test_json_in_the_docs_is_json() -> None:
    for path in documents():
        for language, label, body in _FENCE.findall(path.read_text()):
            if language == "json" and not label:
                json.loads(body)


@each_document()
def test_every_settings_file_in_the_docs_loads(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (language, _, body) in enumerate(_FENCE.findall(path.read_text())):
        if language == "toml":
            file = tmp_path / f"{number}.toml"
            file.write_text(body)
            monkeypatch.setenv("SMARTLEARN_CONFIG", str(file))
            load_settings()
