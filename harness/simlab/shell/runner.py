"""Shell scripts, run."""

from __future__ import annotations

import fnmatch
import io
import posixpath
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.simlab.shell.builtins import BUILTINS, NOT_FOUND, ShellExit
from harness.simlab.shell.grammar import (
    For,
    Group,
    If,
    Job,
    Loop,
    Node,
    Part,
    Pipeline,
    Redirection,
    Script,
    ShellSyntaxError,
    Simple,
    Word,
    parse,
)
from harness.simlab.shell.process import FileOutput, Pipe, Process, Streams, nowhere

__all__ = ["Shell"]

_GLOB = re.compile(r"[*?\[]")


@dataclass
class Shell:
    """One shell: its variables, its background jobs."""

    process: Process
    name: str = "sh"
    arguments: Sequence[str] = ()
    status: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    jobs: dict[int, tuple[threading.Thread, list[int]]] = field(default_factory=dict)
    last_job: str = ""

    def run(self, text: str) -> int:
        """A whole script; gives its exit code."""
        process = self.process
        try:
            script = parse(text)
        except ShellSyntaxError as error:
            process.err(f"{self.name}: 1: Syntax error: {error}\n")
            return 2
        return self.run_script(script, Streams(process.stdin, process.stdout, process.stderr))

    def run_script(self, script: Script, streams: Streams) -> int:
        """A script that has been read; gives its exit code."""
        try:
            return self._script(script, streams)
        except ShellExit as ended:
            return ended.rc

    # -- control

    def _script(self, script: Script, streams: Streams) -> int:
        for job in script.jobs:
            if self.process.killed.is_set():
                break
            if job.background:
                self._start(job, streams)
                self.status = 0
            else:
                self.status = self._job(job, streams)
        return self.status

    def _job(self, job: Job, streams: Streams) -> int:
        rc = 0
        for operator, pipeline in job.steps:
            if (operator == "&&" and rc != 0) or (operator == "||" and rc == 0):
                continue
            rc = self.status = self._pipeline(pipeline, streams)
        return rc

    def _start(self, job: Job, streams: Streams) -> None:
        """In the background, without our input; the process gets its number before we go on."""
        job = replace(job, background=False)
        streams = Streams(nowhere, streams.stdout, streams.stderr)
        process = self.process.child(("sh",), streams)
        inner = Shell(process, self.name, self.arguments, self.status, dict(self.variables))
        result = [0]

        def body() -> None:
            result[0] = process.run(lambda _: inner.run_script(Script((job,)), streams))

        thread = threading.Thread(target=body, name=f"simlab-job-{process.pid}", daemon=True)
        self.jobs[process.pid] = (thread, result)
        self.last_job = str(process.pid)
        thread.start()

    def _pipeline(self, pipeline: Pipeline, streams: Streams) -> int:
        *before, last = pipeline.commands
        source = streams.stdin
        threads = []
        for node in before:
            pipe = Pipe()
            inner = self._subshell(Streams(source, pipe, streams.stderr))
            threads.append(inner.start_node(node, pipe, source))
            source = pipe
        rc = self._node(last, Streams(source, streams.stdout, streams.stderr))
        if isinstance(source, Pipe):
            source.close()  # whoever still writes gets SIGPIPE
        for thread in threads:
            thread.join()
        return int(rc == 0) if pipeline.negated else rc

    def start_node(self, node: Node, pipe: Pipe, source: object) -> threading.Thread:
        """Run one part of a pipeline beside the others."""
        process = self.process
        streams = Streams(process.stdin, process.stdout, process.stderr)

        def body() -> None:
            script = Script((Job((("", Pipeline((node,), negated=False)),), background=False),))
            process.run(lambda _: self.run_script(script, streams))
            pipe.close()
            if isinstance(source, Pipe):
                source.close()

        thread = threading.Thread(target=body, name=f"simlab-pipe-{process.pid}", daemon=True)
        thread.start()
        return thread

    def _subshell(self, streams: Streams) -> Shell:
        process = self.process.child(("sh",), streams)
        return Shell(process, self.name, self.arguments, self.status, dict(self.variables))

    def _node(self, node: Node, streams: Streams) -> int:
        match node:
            case Simple():
                return self._simple(node, streams)
            case Group():
                return self._group(node, self._redirect(node.redirections, streams))
            case If():
                return self._if(node, streams)
            case Loop():
                return self._loop(node, streams)
            case For():
                return self._for(node, streams)

    def _group(self, node: Group, streams: Streams) -> int:
        if not node.subshell:
            return self._script(node.body, streams)
        inner = self._subshell(streams)
        return inner.process.run(lambda _: inner.run_script(node.body, streams))

    def _if(self, node: If, streams: Streams) -> int:
        for condition, body in node.branches:
            if condition is None or self._script(condition, streams) == 0:
                return self._script(body, streams)
        return 0

    def _loop(self, node: Loop, streams: Streams) -> int:
        rc = 0
        while (self._script(node.condition, streams) == 0) is not node.until:
            if self.process.killed.is_set():
                break
            rc = self._script(node.body, streams)
        return rc

    def _for(self, node: For, streams: Streams) -> int:
        rc = 0
        for word in self._expand_all(node.words):
            self.variables[node.name] = word
            rc = self._script(node.body, streams)
        return rc

    def _simple(self, node: Simple, streams: Streams) -> int:
        words = self._expand_all(node.words)
        values = {name: "".join(self._expand(word)) for name, word in node.assignments}
        try:
            streams = self._redirect(node.redirections, streams)
        except OSError as error:
            streams.stderr.write(f"{self.name}: 1: cannot open {error.filename}: {error.strerror}\n".encode())
            return 2
        if not words:
            self.variables |= values
            return self.status if any(_runs_script(word) for _, word in node.assignments) else 0
        builtin = BUILTINS.get(words[0])
        return builtin(self, words[1:], streams) if builtin else self.command(words, streams, values)

    def command(self, words: Sequence[str], streams: Streams, environment: Mapping[str, str]) -> int:
        """Run one command as a process of its own."""
        command = self.process.session.commands.get(posixpath.basename(words[0]))
        if command is None:
            streams.stderr.write(f"{self.name}: 1: {words[0]}: not found\n".encode())
            return NOT_FOUND
        process = self.process.child(words, streams)
        process.environment |= environment
        return process.run(command)

    # -- words

    def _redirect(self, redirections: Sequence[Redirection], streams: Streams) -> Streams:
        ends = list(streams)
        for redirection in redirections:
            target = "".join(self._expand(redirection.target))
            if redirection.operator == ">&":
                ends[redirection.stream] = ends[int(target)]
            elif target == "/dev/null":
                ends[redirection.stream] = nowhere
            elif redirection.operator == "<":
                data = self.process.host.files.real(target).read_bytes()
                ends[redirection.stream] = io.BytesIO(data)
            else:
                append = redirection.operator == ">>"
                ends[redirection.stream] = FileOutput(self.process.host, target, append=append)
        return Streams(*ends)  # type: ignore[arg-type]  # each end stays of its own kind

    def _expand_all(self, words: Sequence[Word]) -> list[str]:
        expanded: list[str] = []
        for word in words:
            for text in self._expand(word):
                expanded += self._glob(text) if _may_glob(word) else [text]
        return expanded

    def _expand(self, word: Word) -> list[str]:
        """The fields of a word; one that is only an unset variable gives none."""
        fields: list[str] = []
        current: str | None = None
        for part in word:
            if part == Part("variable", "@", quoted=True):
                pieces = list(self.arguments)
            else:
                value = self._value(part)
                pieces = [value] if part.quoted or part.kind == "text" else value.split()
            for index, piece in enumerate(pieces):
                if index and current is not None:
                    fields.append(current)
                    current = None
                current = (current or "") + piece
        if current is not None:
            fields.append(current)
        return fields

    def _value(self, part: Part) -> str:
        if part.kind == "text":
            return part.value
        if part.kind == "script":
            output = io.BytesIO()
            inner = self._subshell(Streams(nowhere, output, self.process.stderr))
            self.status = inner.process.run(lambda _: inner.run(part.value))
            return output.getvalue().decode("utf-8", "surrogateescape").rstrip("\n")
        return self._variable(part.value)

    def _variable(self, name: str) -> str:
        name, has_default, default = name.partition(":-")
        special = {
            "?": str(self.status),
            "!": self.last_job,
            "$": str(self.process.pid),
            "#": str(len(self.arguments)),
            "*": " ".join(self.arguments),
            "@": " ".join(self.arguments),
            "0": self.name,
        }
        if name in special:
            return special[name]
        if name.isdigit():
            index = int(name) - 1
            found = self.arguments[index] if index < len(self.arguments) else ""
        else:
            found = self.variables.get(name, self.process.environment.get(name, ""))
        return found or (default if has_default else "")

    def _glob(self, pattern: str) -> list[str]:
        """Files that match; the pattern itself if none does."""
        if not _GLOB.search(pattern):
            return [pattern]
        files = self.process.host.files
        heads = ["/" if pattern.startswith("/") else ""]
        for step in pattern.strip("/").split("/"):
            found = []
            for head in heads:
                folder = files.real(head or ".")
                if not folder.is_dir():
                    continue
                names = sorted(entry.name for entry in folder.iterdir())
                dotted = step.startswith(".")
                found += [
                    posixpath.join(head, name)
                    for name in names
                    if fnmatch.fnmatchcase(name, step) and (dotted or not name.startswith("."))
                ]
            heads = found
        return heads or [pattern]


def _may_glob(word: Word) -> bool:
    return any(not part.quoted and (part.kind != "text" or _GLOB.search(part.value)) for part in word)


def _runs_script(word: Word) -> bool:
    return any(part.kind == "script" for part in word)
