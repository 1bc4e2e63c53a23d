"""Shell scripts, read: the part of POSIX sh that scripts for a dom0 use.

Words, quotes, variables, command substitution, redirections, pipes, lists, background jobs,
if, while, until, for, groups. Functions, case, here-documents and arithmetic are not played.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "For",
    "Group",
    "If",
    "Job",
    "Loop",
    "Node",
    "Part",
    "Pipeline",
    "Redirection",
    "Script",
    "ShellSyntaxError",
    "Simple",
    "Word",
    "parse",
]


class ShellSyntaxError(Exception):
    """A script that cannot be read."""


@dataclass(frozen=True)
class Part:
    """A piece of a word: text, the name of a variable, or a script whose output is meant."""

    kind: Literal["text", "variable", "script"]
    value: str
    quoted: bool


Word = tuple[Part, ...]


@dataclass(frozen=True)
class Redirection:
    """``2>FILE`` and the like; ``&`` in front of the operator's meaning joins another stream."""

    stream: int
    operator: str  # < > >> >&
    target: Word


@dataclass(frozen=True)
class Simple:
    """Assignments and words."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True)
class If:
    """Branches of condition and body; the last condition is None for else."""

    branches: tuple[tuple[Script | None, Script], ...]


@dataclass(frozen=True)
class Loop:
    """While, or until."""

    condition: Script
    body: Script
    until: bool


@dataclass(frozen=True)
class For:
    """For each word."""

    name: str
    words: tuple[Word, ...]
    body: Script


@dataclass(frozen=True)
class Group:
    """Braces, or parentheses, which are a shell of their own."""

    body: Script
    subshell: bool
    redirections: tuple[Redirection, ...]


Node = Simple | If | Loop | For | Group


@dataclass(frozen=True)
class Pipeline:
    """Commands joined by pipes."""

    commands: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True)
class Job:
    """Pipelines joined by && and ||; the first has "" before it."""

    steps: tuple[tuple[str, Pipeline], ...]
    background: bool


@dataclass(frozen=True)
class Script:
    """Jobs one after the other."""

    jobs: tuple[Job, ...]


_OPERATOR = re.compile(r"\d?>>|\d?>&\d|\d?[<>]|&&|\|\||[;&|()\n]")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?!$]")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
_PLAIN = re.compile(r"[^ \t\n'\"\\$`;&|()<>#]+|#")  # no other blank ends a word: not even a carriage return
_REDIRECTION = re.compile(r"(?P<stream>\d?)(?P<operator>>>|>&|[<>])(?P<copy>\d?)")
_CLOSERS = {"then", "elif", "else", "fi", "do", "done", "}", ")"}

Token = str | Word


def parse(text: str) -> Script:
    """A whole script.

    Raises:
        ShellSyntaxError: it cannot be read.
    """
    parser = _Parser(list(_tokens(text)))
    try:
        script = parser.script()
    except RecursionError as error:
        raise ShellSyntaxError("nested too deeply for the simulated shell") from error
    if parser.token is not None:
        raise ShellSyntaxError(f'"{_shown(parser.token)}" unexpected')
    return script


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if text[at] in " \t" or text.startswith("\\\n", at):
            at += 1 if text[at] in " \t" else 2
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif match := _OPERATOR.match(text, at):
            at = match.end()
            yield match[0]
        else:
            word, at = _word(text, at)
            yield word


def _word(text: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    while at < len(text) and text[at] not in " \t\n;&|()<>":
        character = text[at]
        if character == "'":
            end = _closing(text, at + 1, "'")
            parts.append(Part("text", text[at + 1 : end], quoted=True))
            at = end + 1
        elif character == '"':
            inner, at = _double_quoted(text, at + 1)
            parts += inner
        elif character == "\\":
            parts.append(Part("text", text[at + 1 : at + 2], quoted=True))
            at += 2
        elif character in "$`":
            part, at = _dollar(text, at, quoted=False)
            parts.append(part)
        else:
            match = _PLAIN.match(text, at)
            assert match is not None
            parts.append(Part("text", match[0], quoted=False))
            at = match.end()
    return tuple(parts), at


def _double_quoted(text: str, at: int) -> tuple[list[Part], int]:
    parts: list[Part] = [Part("text", "", quoted=True)]
    while True:
        if at >= len(text):
            raise ShellSyntaxError("Unterminated quoted string")
        character = text[at]
        if character == '"':
            return parts, at + 1
        if character == "\\" and text[at + 1 : at + 2] in tuple('$`"\\\n'):
            parts.append(Part("text", text[at + 1].strip("\n"), quoted=True))
            at += 2
        elif character in "$`":
            part, at = _dollar(text, at, quoted=True)
            parts.append(part)
        else:
            parts.append(Part("text", character, quoted=True))
            at += 1


def _dollar(text: str, at: int, *, quoted: bool) -> tuple[Part, int]:
    if text[at] == "`":
        end = _closing(text, at + 1, "`")
        return Part("script", text[at + 1 : end], quoted), end + 1
    if text.startswith("$((", at):
        raise ShellSyntaxError("arithmetic is not played by the simulated shell")
    if text.startswith("$(", at):
        end = _closing_parenthesis(text, at + 2)
        return Part("script", text[at + 2 : end], quoted), end + 1
    if text.startswith("${", at):
        end = _closing(text, at + 2, "}")
        return Part("variable", text[at + 2 : end], quoted), end + 1
    match = _NAME.match(text, at + 1)
    if match is None:
        return Part("text", "$", quoted), at + 1
    return Part("variable", match[0], quoted), match.end()


def _closing(text: str, at: int, mark: str) -> int:
    end = text.find(mark, at)
    if end < 0:
        raise ShellSyntaxError("Unterminated quoted string")
    return end


def _closing_parenthesis(text: str, at: int) -> int:
    depth = 1
    while at < len(text):
        if text[at] == "'":
            at = _closing(text, at + 1, "'")
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise ShellSyntaxError("end of file unexpected (expecting )")


def _shown(token: Token) -> str:
    if isinstance(token, str):
        return token.replace("\n", "newline")
    return "".join(part.value for part in token)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def token(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    @property
    def keyword(self) -> str:
        """The token as an unquoted word or operator, "" for anything else."""
        token = self.token
        if token is None or isinstance(token, str):
            return token or ""
        return (
            token[0].value
            if len(token) == 1 and token[0] == Part("text", token[0].value, quoted=False)
            else ""
        )

    def script(self) -> Script:
        jobs: list[Job] = []
        while True:
            self._skip_lines()
            if self.token is None or self.keyword in _CLOSERS:
                return Script(tuple(jobs))
            jobs.append(self._job())

    def _job(self) -> Job:
        steps = [("", self._pipeline())]
        while self.keyword in {"&&", "||"}:
            operator = self.keyword
            self._at += 1
            self._skip_lines()
            steps.append((operator, self._pipeline()))
        background = self.keyword == "&"
        if self.keyword in {"&", ";", "\n"}:
            self._at += 1
        elif self.token is not None and self.keyword not in _CLOSERS:
            raise ShellSyntaxError(f'"{_shown(self.token)}" unexpected')
        return Job(tuple(steps), background)

    def _pipeline(self) -> Pipeline:
        negated = self.keyword == "!"
        if negated:
            self._at += 1
        commands = [self._command()]
        while self.keyword == "|":
            self._at += 1
            self._skip_lines()
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    def _command(self) -> Node:
        match self.keyword:
            case "if":
                return self._if()
            case "while" | "until":
                until = self.keyword == "until"
                self._at += 1
                condition = self.script()
                return Loop(condition, self._body(), until)
            case "for":
                return self._for()
            case "{" | "(":
                closer = "}" if self.keyword == "{" else ")"
                self._at += 1
                body = self.script()
                self._expect(closer)
                return Group(body, closer == ")", tuple(self._redirections()))
        return self._simple()

    def _if(self) -> If:
        branches: list[tuple[Script | None, Script]] = []
        while self.keyword in {"if", "elif"}:
            self._at += 1
            condition = self.script()
            self._expect("then")
            branches.append((condition, self.script()))
        if self.keyword == "else":
            self._at += 1
            branches.append((None, self.script()))
        self._expect("fi")
        return If(tuple(branches))

    def _for(self) -> For:
        self._at += 1
        name = self.keyword
        self._at += 1
        words: list[Word] = []
        if self.keyword == "in":
            self._at += 1
            while (token := self.token) is not None and not isinstance(token, str):
                words.append(token)
                self._at += 1
        else:
            words = [(Part("variable", "@", quoted=True),)]
        if self.keyword == ";":
            self._at += 1
        self._skip_lines()
        return For(name, tuple(words), self._body())

    def _body(self) -> Script:
        self._expect("do")
        body = self.script()
        self._expect("done")
        return body

    def _simple(self) -> Simple:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while (token := self.token) is not None:
            if isinstance(token, str):
                found = list(self._redirections())
                if not found:
                    break
                redirections += found
                continue
            match = _ASSIGNMENT.match(token[0].value) if token and not token[0].quoted else None
            if match and not words:
                rest = Part("text", token[0].value[match.end() :], quoted=False)
                assignments.append((match[1], (rest, *token[1:])))
            else:
                words.append(token)
            self._at += 1
        if not (assignments or words or redirections):
            shown = "end of file" if self.token is None else f'"{_shown(self.token)}"'
            raise ShellSyntaxError(f"{shown} unexpected")
        return Simple(tuple(assignments), tuple(words), tuple(redirections))

    def _redirections(self) -> Iterator[Redirection]:
        while isinstance(token := self.token, str) and (match := _REDIRECTION.fullmatch(token)):
            self._at += 1
            default = "0" if match["operator"] == "<" else "1"
            stream = int(match["stream"] or default)
            if match["operator"] == ">&":
                yield Redirection(stream, ">&", (Part("text", match["copy"], quoted=True),))
                continue
            target = self.token
            if target is None or isinstance(target, str):
                raise ShellSyntaxError("redirection without a file")
            self._at += 1
            yield Redirection(stream, match["operator"], target)

    def _skip_lines(self) -> None:
        while self.keyword == "\n":
            self._at += 1

    def _expect(self, word: str) -> None:
        if self.keyword != word:
            shown = "end of file" if self.token is None else f'"{_shown(self.token)}"'
            raise ShellSyntaxError(f'{shown} unexpected (expecting "{word}")')
        self._at += 1
