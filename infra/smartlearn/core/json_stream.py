"""A JSON object read piece by piece: named arrays element by element, everything else as one value.

A file of any size is read in the memory of its largest element. NaN, Infinity and -Infinity are read as Python's
json writes them.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

_CHUNK = 1 << 20
_LONGEST_ELEMENT = 1 << 20
_SPACE = " \t\r\n"


class Element(NamedTuple):
    """One piece of the object.

    Attributes:
        name: the member's name.
        row: the place in its array, from 0; -1 of the array itself, before its elements; None of another value.
        value: the value; None of the array itself.
    """

    name: str
    row: int | None
    value: Any


def read_object(file: BinaryIO, arrays: Collection[str]) -> Iterator[Element]:
    """The members of a JSON object in their order; those named in `arrays`, where they are arrays, by element.

    Raises:
        ValueError: the file is not one JSON object in UTF-8; the message says what and in which line.
        OSError: it cannot be read.
    """
    reader = _Reader(file)
    if not reader.peek():
        raise ValueError("it is empty")
    reader.expect("{", "it must be a JSON object")
    if reader.peek() == "}":
        reader.take()
    else:
        while True:
            yield from _member(reader, arrays)
            if reader.take() == "}":
                break
            reader.back(",", "a comma or } must follow a member")
    if reader.peek():
        raise reader.fault("nothing may follow the object")


def _member(reader: _Reader, arrays: Collection[str]) -> Iterator[Element]:
    if reader.peek() != '"':
        raise reader.fault("a member must begin with its name in quotes")
    name = reader.value()
    reader.expect(":", "a colon must follow the name of a member")
    if name not in arrays or reader.peek() != "[":
        yield Element(name, None, reader.value())
        return
    reader.take()
    yield Element(name, -1, None)
    if reader.peek() == "]":
        reader.take()
        return
    index = 0
    while True:
        yield Element(name, index, reader.value())
        if reader.take() == "]":
            return
        reader.back(",", "a comma or ] must follow an element")
        index += 1


class _Reader:
    """The text of a file behind a window that moves over it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in _SPACE:
                    return character
                self._at += 1
            if self._ended:
                return ""
            self._fill()

    def take(self) -> str:
        """The next character that is no space, passed."""
        character = self.peek()
        self._at += 1
        return character

    def expect(self, character: str, otherwise: str) -> None:
        """Pass a character, or raise the sentence."""
        if self.peek() != character:
            raise self.fault(otherwise)
        self._at += 1

    def back(self, character: str, otherwise: str) -> None:
        """Raise the sentence unless the character passed last is this one."""
        if self._text[self._at - 1 : self._at] != character:
            self._at = min(self._at, len(self._text))
            raise self.fault(otherwise)

    def value(self) -> Any:
        """The next value, passed."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # The value may go on beyond the window, but not for ever.
                if self._ended or len(self._text) - self._at > _LONGEST_ELEMENT:
                    raise self.fault(error.msg[:1].lower() + error.msg[1:], error.pos) from None
            except (ValueError, RecursionError):
                raise self.fault("a value is nested too deeply, or a number has too many digits") from None
            else:
                # A number that touches the end of the window may have more digits.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill()

    def fault(self, what: str, at: int | None = None) -> ValueError:
        """The error about a place, by default the present one."""
        place = min(self._at if at is None else at, len(self._text))
        if place >= len(self._text) and self._ended:
            return ValueError(f"it ends too early, in line {self._line_at(len(self._text))}")
        return ValueError(f"line {self._line_at(place)}: {what}")

    def _line_at(self, place: int) -> int:
        return self._line + self._text.count("\n", 0, place)

    def _fill(self) -> None:
        chunk = self._file.read(_CHUNK)
        self._ended = not chunk
        self._line += self._text.count("\n", 0, self._at)
        try:
            more = self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError:
            raise ValueError(f"it is not UTF-8 text, after line {self._line}") from None
        self._text = self._text[self._at :] + more
        self._at = 0
