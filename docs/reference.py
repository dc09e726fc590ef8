"""The reference pages, written from the code: ``python -m docs.reference`` brings ``docs/reference/`` up to date."""

import argparse
import os
import re
import subprocess
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from docs.commands import parser_of
from dragoman import errors
from dragoman.errors import DragomanError, run_cli
from dragoman.live.pointer import FOLLOW_VARIABLE
from dragoman.metrics.prometheus import ServingMetrics
from train.config.help import help_text as train_help
from train.config.help import import_help
from tune.search.help import help_text as tune_help

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
WIDTH = 120
NOTE = "<!-- Written by `python -m docs.reference` from the code: change the code, not this page. -->\n"
TRAIN_AND_TUNE = """\
`python -m train` and `python -m tune` take settings, `key=value`, and no options: [Settings](settings.md) lists them,
and so does `--help`. `python -m tune best` is the exception:
"""
# The commands in the order in which a reader meets them; those below benchmarks/ follow by themselves.
USERS = {
    "Train and search": ("train.evaluate", "tune best", "train.tasks.translation.phrasebook"),
    "Use a bundle": ("dragoman",),
    "Register, promote, package": ("model_registry",),
    "Serve and compare": (
        *("deploy.torchserve", "deploy.torchserve.grpc_client", "deploy.torchserve.probe", "deploy.conformance"),
        "deploy.events",
    ),
    "Container images": ("deploy.images", "deploy.images.smoke"),
    "Demonstrations": ("deploy.demos.road", "deploy.demos.search"),
}
SETTING = re.compile(r"  (?P<name>\S+) \[(?P<default>.*?)\]\s+(?P<meaning>.+)")
SEARCH_SETTING = re.compile(r"  (?P<name>\S.*?)\s{2,}(?P<meaning>.+)")
HEADING = re.compile(r"(Settings .+?):(?: (?P<more>.+))?")


def pages() -> dict[str, str]:
    """Write every page that comes from the code, by its file name."""
    # What the machine sets must not get into defaults that a command shows.
    for variable in [name for name in os.environ if name.startswith(("DRAGOMAN_", "MLFLOW_"))]:
        del os.environ[variable]
    written = {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "metrics.md": metrics_page(),
    }
    return {name: "\n".join(lines) + "\n" for name, lines in written.items()}


def commands_page() -> list[str]:
    """Describe the targets of the Makefile, and every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        NOTE,
        "Give each command from the root of the checkout, as `.venv/bin/python …`, or after",
    ]
    lines += ["`source .venv/bin/activate` as `python …`.", "", "## Targets of make", ""]
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    targets = [line.split(maxsplit=1) for line in listed.stdout.splitlines() if line.strip()]
    lines += _table(("command", "what it does"), [(f"`make {target}`", _cell(text)) for target, text in targets])
    for title, modules in USERS.items():
        lines += ["", f"## {title}", ""]
        if "tune best" in modules:
            lines += [TRAIN_AND_TUNE]
        for module in modules:
            name, *arguments = module.split()
            lines += _command(parser_of(name, [*arguments, "--study", "x"] if arguments else []), module, "###")
    lines += ["## Benchmarks", ""]
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in text and "ArgumentParser(" in text and "peers" not in path.parts:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            lines += _command(parser_of(module), module, "###")
    return lines


def _command(
    parser: argparse.ArgumentParser,
    module: str,
    level: str,
    above: argparse.ArgumentParser | None = None,
    summary: str = "",
) -> Iterator[str]:
    """Describe a command, and those below it, which do not repeat what ``above`` has said."""
    # argparse has no public way to the arguments of a parser.
    said = {"--help", *(option for action in (above._actions if above else ()) for option in action.option_strings)}
    actions = [action for action in parser._actions if not said & set(action.option_strings)]
    branches = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    actions = [action for action in actions if action not in branches]
    positional = [_value(action) for action in actions if not action.option_strings]
    required = [f"{action.option_strings[-1]} {_value(action)}" for action in actions if _is_required_option(action)]
    optional = [action for action in actions if action.option_strings and not action.required]
    usage = ["python -m", module, *required, *(["[options]"] if optional else []), *positional]
    yield from [f"{level} {module}", "", *_paragraphs(parser.description or summary), "```"]
    yield from [" ".join([*usage, *(["COMMAND …"] if branches else [])]), "```", ""]
    if actions:
        rows = [(f"`{_name(action)}`", _cell(_meaning(action))) for action in actions]
        yield from [*_table(("argument", "meaning"), rows), ""]
    for branch in branches:
        summaries = {choice.dest: f"{choice.help}." for choice in branch._choices_actions}
        for name, inner in branch.choices.items():
            yield from _command(inner, f"{module} {name}", level + "#", parser, summaries.get(name, ""))
    epilog = (parser.epilog or "").strip()
    if above and above.epilog:
        epilog = epilog.replace(above.epilog.strip(), "").strip()
    if "\n" in epilog:
        yield from ["```text", epilog, "```", ""]
    elif epilog:
        yield from _paragraphs(epilog)


def _is_required_option(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        shown = action.metavar
    else:
        shown = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
    if not action.option_strings:
        return {"*": f"[{shown} …]", "+": f"{shown} …", "?": f"[{shown}]"}.get(str(action.nargs), shown)
    return "" if action.nargs == 0 else shown


def _name(action: argparse.Action) -> str:
    return ", ".join(f"{option} {_value(action)}".strip() for option in action.option_strings) or _value(action)


def _meaning(action: argparse.Action) -> str:
    return action.help % vars(action) if action.help else ""


def settings_page() -> list[str]:
    """List the settings of trainings and of searches, from the text of both commands' ``--help``."""
    lines = ["# Settings", "", NOTE]
    lines += [
        "Settings of `python -m train` and `python -m tune` are `key=value`. Their defaults are in `configs/`; a key"
    ]
    lines += [
        "that does not exist is an error. `python -m train --help` and `python -m tune --help` print the same list."
    ]
    _, _, settings = train_help().partition("\nChoices:\n")
    choices, _, settings = settings.partition("\n\n")
    lines += ["", "## Choices", ""]
    rows = [line.strip().partition("=") for line in choices.splitlines()]
    lines += _table(
        ("group", "choices"), [(f"`{group}=`", _cell(f"`{values}`".replace("|", "`, `"))) for group, _, values in rows]
    )
    lines += _sections(settings.splitlines(), SETTING)
    _, heading, imports = import_help().partition("\n\nSettings of every import")
    lines += _sections(f"{heading}{imports}".strip().partition("\n\n")[0].splitlines(), SETTING)
    lines += [
        "",
        "## Settings of a search",
        "",
        "A search is a file of `configs/tune/`; every setting can also stand on the",
    ]
    _, _, settings = tune_help().partition("\n\nSettings of a search:\n")
    lines += ["command line of `python -m tune`.", ""]
    return [*lines, *_sections(settings.splitlines(), SEARCH_SETTING)]


def _sections(lines: Iterable[str], row: re.Pattern[str]) -> Iterator[str]:
    """Turn the help's headings into headings and its rows into tables."""
    rows: list[tuple[str, ...]] = []
    columns = ("setting", "default", "meaning") if "default" in row.groupindex else ("setting", "meaning")
    for line in [*lines, ""]:
        found = row.fullmatch(line)
        if found:
            name, *others = (found[column if column != "setting" else "name"] for column in columns)
            rows.append((f"`{name}`", *(f"`{text}`" for text in others[:-1]), _cell(others[-1])))
            continue
        if rows:
            yield from [*_table(columns, rows), ""]
            rows = []
        heading = HEADING.match(line)
        if heading:
            yield from ["", f"## {heading[1]}" if row is SETTING else f"### {heading[1]}", ""]
            if heading["more"]:
                yield from [heading["more"], ""]


def errors_page() -> list[str]:
    """List the exceptions with their exit status, and the codes of answers with their HTTP status."""
    lines = ["# Errors and exit codes", "", NOTE, "## Exit codes of commands", ""]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DragomanError)]
    meanings: dict[int, list[str]] = {
        0: ["Done."],
        1: ["A gate or a comparison said no."],
        2: ["The gate could not decide."],
    }
    for kind in kinds[1:]:
        meanings.setdefault(kind.exit_code, []).append((kind.__doc__ or "").strip())
    meanings[130], meanings[143] = (
        ["Interrupted by Ctrl-C."],
        ["Stopped by SIGTERM; a training has written a checkpoint."],
    )
    rows = [(str(code), _cell(" ".join(meanings[code]))) for code in sorted(meanings)]
    lines += [*_table(("exit code", "meaning"), rows), "", "## Codes of answers", ""]
    lines += ['Both servers answer an error as `{"error": "sentence", "code": "text_too_long", "field": "q[3]"}`.']
    lines += ["`error` says what is wrong, the value seen, what is accepted and what to do.", ""]
    codes = {code: (status, kind) for kind in reversed(kinds) for code, status in kind.statuses.items()}
    ordered = sorted(codes.items(), key=lambda entry: (entry[1][0], entry[0]))
    return [*lines, *_table(("code", "HTTP status"), [(f"`{code}`", str(status)) for code, (status, _) in ordered])]


def metrics_page() -> list[str]:
    """List the figures of both servers for Prometheus: those of the Bento from its registry's own descriptions."""
    described: dict[str, tuple[str, str, Any]] = {}

    def note(kind: str) -> Any:
        def make(name: str, text: str, labels: Iterable[str] = (), **_: object) -> SimpleNamespace:
            described[name] = (kind, text, tuple(labels))
            return SimpleNamespace(set=lambda value: None)

        return make

    recorder = SimpleNamespace(**{kind: note(kind.lower()) for kind in ("Gauge", "Counter", "Histogram")})
    following: Any = SimpleNamespace(is_ok=True, checked_at=0.0)
    ServingMetrics(recorder).follows(following)
    text = (ROOT / "deploy" / "torchserve" / "metrics.yaml").read_text(encoding="utf-8")
    served = yaml.safe_load(text)
    of_torchserve = {
        metric["name"]: (kind, tuple(metric["dimensions"]))
        for section in ("model_metrics", "ts_metrics")
        for kind, metrics in served[section].items()
        for metric in metrics
    }
    lines = ["# Metrics", "", NOTE, "Bento serves its figures at `/metrics` on its own port, TorchServe on port 8082."]
    lines += ["[Watch the servers](../how-to/monitor.md) says how the dashboard and the alerts read them.", ""]
    lines += [
        f"Those of `dragoman_follow_*` are there where `{FOLLOW_VARIABLE}` is set.",
        "",
        "## Of both, and of Bento",
        "",
    ]
    rows = [
        (f"`{name}`", kind, _cell(meaning), ", ".join(labels) or "none", "both" if name in of_torchserve else "Bento")
        for name, (kind, meaning, labels) in described.items()
    ]
    lines += _table(("metric", "kind", "meaning", "labels", "server"), rows)
    lines += ["", "BentoML adds figures of its requests, `bentoml_service_*`.", "", "## Of TorchServe alone", ""]
    others = {name: about for name, about in of_torchserve.items() if name not in described}
    shown = [(f"`{name}`", kind, ", ".join(labels)) for name, (kind, labels) in others.items()]
    return [*lines, *_table(("metric", "kind", "labels"), shown)]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    shown = [f"| {' | '.join(map(_without_bars, cells))} |" for cells in (header, *rows)]
    return [shown[0], f"|{'---|' * len(header)}", *shown[1:]]


def _without_bars(cell: str) -> str:
    """Write a bar as an entity, since it would end the cell; within code only HTML's own form takes entities."""
    in_code = re.sub(r"`([^`]*\|[^`]*)`", r"<code>\1</code>", cell)
    return in_code.replace("|", "&#124;")


def _cell(text: str) -> str:
    # `<id>` would be a tag.
    return " ".join(text.split()).replace("<", "&lt;")


def _paragraphs(text: str | None) -> Iterator[str]:
    """Give a description, or a docstring in reStructuredText, as paragraphs of Markdown; commands in a block."""
    for paragraph in (text or "").strip().split("\n\n"):
        lines = textwrap.dedent(paragraph).splitlines()
        shown = [line.replace("``", "`").replace("<", "&lt;") for line in lines]
        if lines and all(line.startswith("python -m ") for line in lines):
            yield from ["```", *lines, "```", ""]
        elif any(line.startswith(" ") for line in lines):
            yield from [*shown, ""]
        else:
            # Wrapped anew: where a command wraps its text may depend on the terminal.
            yield from [*textwrap.wrap(" ".join(shown), WIDTH, break_long_words=False, break_on_hyphens=False), ""]


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_cli(main)
