"""README and the pages under docs/: their links, files and commands exist, and the site is built of them."""

import html.parser
import json
import os
import re
import subprocess
import sys
import urllib.parse
from functools import cache
from pathlib import Path

import pytest

from docs.build_site import build
from docs.commands import FENCE, INLINE, command_lines, own_commands
from tests.conftest import ROOT

OF_THE_ROOT = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
PAGES = [*(ROOT / name for name in OF_THE_ROOT), *sorted((ROOT / "docs").rglob("*.md"))]
# Written from the parsers themselves; its usages are patterns.
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
GENERATED = ("commands.md", "settings.md", "errors.md", "metrics.md")
HTML_SOURCE = re.compile(r'src="([^"]+)"')
MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
TOP = "dragoman|scoring|handlers|train|tune|model_registry|deploy|benchmarks|configs|docs|tests"
FILE = re.compile(rf"(?:{TOP})/[\w./-]*\w/?|[\w-]+\.(?:py|yaml|toml)")
# What a user makes there; git ignores it.
MADE_THERE = ("deploy/.env", "deploy/compose/secrets/")
ZENSICAL = Path(sys.prefix) / "docs" / "bin" / "zensical"


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in [*MARKDOWN_LINK.findall(text), *HTML_SOURCE.findall(text)]:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_can_be_reached_from_the_readme():
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        linked = [link.partition("#")[0] for link in MARKDOWN_LINK.findall(page.read_text(encoding="utf-8"))]
        targets = {(page.parent / link).resolve() for link in linked if link.endswith(".md")}
        ahead += sorted(targets - reached - set(ahead))
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_file_that_a_page_names_exists(page: Path):
    for word in INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not FILE.fullmatch(word) or word.startswith(MADE_THERE):
            continue
        if "/" in word:
            assert (ROOT / word).exists(), word
        else:
            assert _there(word), word


def test_every_file_that_a_picture_names_exists():
    for picture in (ROOT / "docs" / "pictures").glob("*.svg"):
        for word in re.findall(r">([\w/]+(?:\.py|/))<", picture.read_text(encoding="utf-8")):
            assert _there(word), f"{picture.name}: {word}"


@cache
def _files() -> tuple[str, ...]:
    # Not by git, which a copy of the sources may lack.
    skipped = {".git", ".venv", "build", "dist", "runs"}
    found = []
    for folder, below, files in os.walk(ROOT):
        below[:] = [name for name in below if name not in skipped]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in files]
    return tuple(found)


def _there(end: str) -> bool:
    """Tell whether a file's path ends so, or a folder's, which ends with a slash."""
    inside = f"/{end}"
    return any(f"/{name}".endswith(inside) or (end.endswith("/") and inside in f"/{name}") for name in _files())


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_the_files_and_targets_a_document_names_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for module in re.findall(
        r"python -m ((?:dragoman|train|tune|model_registry|deploy|benchmarks|docs)[a-z0-9_.]*)", text
    ):
        path = ROOT / module.rstrip(".").replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.fixture(scope="module")
def problems() -> dict[tuple[str, ...], str]:
    """Return the complaints of the commands' own parsers about the command lines of all pages."""
    commands = sorted({tuple(command) for page in PAGES for command in _commands(page)})
    ours = [command for command in commands if command[0] != "make"]
    assert len(ours) > 60
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run(
        [sys.executable, "-m", "docs.commands"],
        input=json.dumps(ours),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found = json.loads(finished.stdout.splitlines()[-1])
    return {command: problem for command, problem in zip(ours, found, strict=True) if problem}


def _commands(page: Path) -> list[list[str]]:
    if page == COMMANDS:
        return []
    lines = command_lines(page.read_text(encoding="utf-8"))
    return [command for line in lines for command in own_commands(line)]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_of_a_page_is_accepted_by_the_commands_own_parser(
    page: Path, problems: dict[tuple[str, ...], str]
):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in _commands(page):
        assert tuple(command) not in problems, f"{' '.join(command)}: {problems[tuple(command)]}"
        if command[0] == "make":
            targets = [word for word in command[1:] if "=" not in word and not word.startswith("-")]
            for target in targets or ["help"]:
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_a_command_line_that_no_parser_would_take_is_found():
    commands = [
        ["train", "data=tsv", "data.pathh=corpus.tsv"],
        ["dragoman", "run", "--bundel", "B"],
        ["model_registry", "promote", "captions"],
        ["deploy.nothing"],
        ["dragoman", "verify", "B"],
    ]
    finished = subprocess.run(
        [sys.executable, "-m", "docs.commands"],
        input=json.dumps(commands),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(finished.stdout.splitlines()[-1])
    assert [problem is None for problem in found] == [False, False, False, False, True]
    assert "data.pathh" in found[0]


def test_commands_are_found_in_blocks_and_in_sentences():
    block = "```\nX=1 python -m dragoman run --bundle runs/<id> \\\n    < in > out  # why\n```"
    page = f"Give `python -m dragoman info B`, or\n\n{block}\n"
    found = [command for line in command_lines(page) for command in own_commands(line)]
    assert found == [["dragoman", "run", "--bundle", "runs/id"], ["dragoman", "info", "B"]]


@pytest.mark.parametrize("command", ["info BUNDLE", "verify BUNDLE", "run --quiet --bundle BUNDLE"])
def test_the_quick_commands_of_the_readme_and_the_pages_run(command: str, tiny_bundle: Path):
    words = command.replace("BUNDLE", str(tiny_bundle)).split()
    finished = subprocess.run(
        [sys.executable, "-m", "dragoman", *words],
        input="the red car\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip()


def test_the_reference_pages_say_what_the_code_says():
    before = {name: (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in GENERATED}
    program = "import json; from docs.reference import pages; print(json.dumps(pages()))"
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    written = json.loads(finished.stdout.splitlines()[-1])
    assert set(written) == set(before)
    for name, text in written.items():
        assert before[name] == text, f"docs/reference/{name} is older than the code: run python -m docs.reference"


def test_every_variable_of_ours_is_explained():
    page = (ROOT / "docs" / "reference" / "variables.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([A-Z_]+)`", page, re.MULTILINE))
    explained |= set(re.findall(r"`(DRAGOMAN_[A-Z_]+)`", page))
    suffixes = {".py", ".yaml", ".yml", ".env", ".sh"}
    read = {
        variable
        for name in _files()
        if Path(name).suffix in suffixes and not name.startswith(("tests/", "docs/"))
        for variable in re.findall(r"\bDRAGOMAN_[A-Z_]+\b", (ROOT / name).read_text(encoding="utf-8"))
    }
    assert read == {name for name in explained if name.startswith("DRAGOMAN_")}


def test_the_readme_is_short_enough_to_be_read_to_the_end():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


class _Requests(html.parser.HTMLParser):
    """The addresses that a browser fetches by itself when it shows a page, and the links that a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.followed: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        if "src" in given:
            self.fetched.append(given["src"])
        if "href" in given:
            (self.followed if tag == "a" else self.fetched).append(given["href"])


def _requests(page: Path) -> _Requests:
    requests = _Requests()
    requests.feed(page.read_text(encoding="utf-8"))
    return requests


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not ZENSICAL.exists():
        pytest.skip(f"no zensical at {ZENSICAL}: make docs installs it")
    folder = tmp_path_factory.mktemp("docs") / "site"
    # A way out that leads nowhere: the site must be built without a network.
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(variable, "http://127.0.0.1:9")
        build(ZENSICAL, folder)
    return folder


def test_the_site_has_every_page_and_fetches_nothing_from_elsewhere(site: Path):
    built = [page for page in site.rglob("*.html") if page.name != "404.html"]
    # The changelog too.
    assert len(built) == len(PAGES) + 1
    for page in built:
        elsewhere = [url for url in _requests(page).fetched if urllib.parse.urlsplit(url).netloc]
        assert elsewhere == [], page.name
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not any(re.search(r"url\(\s*[\"']?(https?:)?//|@import", style) for style in styles)


def test_every_link_of_the_site_leads_somewhere(site: Path):
    pages = {page: _requests(page) for page in site.rglob("*.html") if page.name != "404.html"}
    for page, requests in pages.items():
        for link in [*requests.followed, *requests.fetched]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment) or parts.path.startswith("/"):
                continue
            target = (page.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.relative_to(site)}: {link}"
            if parts.fragment and target in pages and not parts.fragment.startswith("__"):
                assert urllib.parse.unquote(parts.fragment) in pages[target].ids, f"{page.relative_to(site)}: {link}"


def test_the_pictures_are_small_and_each_is_shown():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size < 200_000, picture.name
        assert f"pictures/{picture.name}" in text, picture.name
