"""The command lines of this documentation, read by the commands' own parsers: ``python -m docs.commands < JSON``."""

import argparse
import contextlib
import io
import itertools
import json
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from dragoman.errors import DragomanError, run_cli
from train.config.compose import compose_config
from train.config.imports import IMPORT, compose_import
from tune.search.definition import load_definition

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
# A new value begins a command; what stands before it are the variables of its environment.
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
# Commands inside the Compose stack, whose services are named after ours.
SERVICES = {"train": "train", "tune": "tune", "registry": "model_registry"}


class Parsed(BaseException):
    """Carries a parser out of the command that has just used it; not an Exception, which commands may catch."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def command_lines(text: str) -> list[str]:
    """List the command lines of a Markdown page: those of blocks for a shell, and those within the text."""
    lines = []
    for _, language, block in FENCE.findall(text):
        if language in ("", "sh"):
            lines += re.sub(r"\\\n\s*", " ", block).splitlines()
    # Code within a sentence may go on in the next line.
    return [" ".join(line.split()) for line in [*lines, *INLINE.findall(FENCE.sub("", text))]]


def own_commands(line: str) -> list[list[str]]:
    """List the commands of ours in one line of a shell: words that begin with a module's or with ``make``."""
    line = re.sub(r"<(\w+)>", r"\1", line)
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []
    # A line may hold several commands.
    grouped = itertools.groupby(words, lambda word: word in ("|", "&", "&&", ";"))
    commands = [list(group) for separates, group in grouped if not separates]
    return [own for own in map(_own, commands) if own]


def _own(command: list[str]) -> list[str]:
    while command and ASSIGNMENT.fullmatch(command[0]):
        command = command[1:]
    # What follows a redirection is for the shell alone.
    command = list(itertools.takewhile(lambda word: word not in ("<", ">"), command))
    match command:
        case ["docker", "compose", "-f", _, "run", "--rm", service, *arguments] if service in SERVICES:
            return [SERVICES[service], *arguments]
        case ["env", *rest]:
            return _own(rest)
        case ["python" | ".venv/bin/python", "-m", module, *arguments]:
            return [module, *arguments]
        case ["make", *_]:
            return command
    return []


def parser_of(module: str, arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Run a command just as far as its parser has read ``arguments`` (none: has been made), and return that parser.

    A wrong command line raises SystemExit, as it does in the shell.
    """
    original = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> NoReturn:
        if arguments:
            original(parser, args, namespace)
        raise Parsed(parser)

    argv = sys.argv
    sys.argv = [module, *arguments]
    argparse.ArgumentParser.parse_args = parse_args  # type: ignore[method-assign, assignment]
    try:
        with warnings.catch_warnings():
            # Of runpy, about a module that was imported before.
            warnings.simplefilter("ignore")
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Parsed as parsed:
        return parsed.parser
    finally:
        sys.argv = argv
        argparse.ArgumentParser.parse_args = original  # type: ignore[method-assign]
    raise AssertionError(f"python -m {module} ended without a parser of argparse")


def problem(command: Sequence[str]) -> str | None:
    """Return what is wrong with a command of ours, by its own parser; None where it would run."""
    module, *arguments = command
    if not arguments or "…" in " ".join(arguments):
        # A mention, or an outline: that the command exists is all that can be checked.
        arguments = ["--help"]
    readers: dict[str, Callable[[Sequence[str]], object]] = {"train": compose_config, "tune": load_definition}
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(io.StringIO()):
            if module not in readers or arguments[0] == "best":
                parser_of(module, arguments)
            elif module == "train" and arguments[0] == IMPORT:
                if "--help" not in arguments:
                    compose_import(arguments[1:])
            elif arguments != ["--help"] and not arguments[0].startswith("resume="):
                readers[module](arguments)
    except SystemExit as ended:
        return complaint.getvalue() if ended.code not in (0, None) else None
    except (DragomanError, ImportError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    """Read a JSON list of commands, and write a JSON list of what is wrong with each, null for nothing."""
    commands = json.load(sys.stdin)
    print(json.dumps([problem(command) for command in commands]))


if __name__ == "__main__":
    run_cli(main)
