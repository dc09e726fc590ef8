"""The site: ``python -m docs.build_site --zensical .venv/docs/bin/zensical`` builds ``build/site`` from the pages.

The pages are plain Markdown that reads well in the repository too. Here they are copied to one folder, the pages of the
repository's root among them, and links to other files of the repository get a copy of these.
"""

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

from dragoman.errors import UnavailableError, run_cli

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"
# Where pages of the root stand on the site.
OF_THE_ROOT = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?=[)#])")
# A link within HTML, as README's picture has it.
SOURCE = re.compile(r'(?<=src=")(?P<path>[^":]+)(?=")')


def stage(folder: Path) -> None:
    """Copy every page, and what they link to, with links that hold in the copy."""
    places = {ROOT / name: folder / place for name, place in OF_THE_ROOT.items()}
    docs = ROOT / "docs"
    places |= {page: folder / page.relative_to(docs) for page in docs.rglob("*.md")}

    def place_of(target: Path) -> Path | None:
        if target not in places and target.is_relative_to(docs) and target.is_file():
            places[target] = folder / target.relative_to(docs)
        elif target not in places and target.is_file():
            places[target] = folder / "repository" / target.relative_to(ROOT)
        return places.get(target)

    for page, copy in list(places.items()):

        def moved(link: re.Match[str], page: Path = page, copy: Path = copy) -> str:
            place = place_of((page.parent / link["path"]).resolve())
            return link["path"] if place is None else os.path.relpath(place, copy.parent)

        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(SOURCE.sub(moved, LINK.sub(moved, page.read_text(encoding="utf-8"))), encoding="utf-8")
    for target, place in places.items():
        if target.suffix != ".md":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, place)


def build(zensical: Path, site: Path = SITE) -> None:
    """Build the site anew; raises UnavailableError when zensical is missing or finds something wrong."""
    # zensical wants its pages and its site below its configuration.
    staged = site.parent / f"{site.name}-pages"
    shutil.rmtree(staged, ignore_errors=True)
    stage(staged / "pages")
    shutil.copyfile(ROOT / "docs" / "zensical.toml", staged / "zensical.toml")
    try:
        subprocess.run([zensical.absolute(), "build", "--strict", "--clean"], cwd=staged, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"the site cannot be built: {error}; make docs installs zensical") from error
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(staged / "site", site)
    shutil.rmtree(staged)


def main() -> None:
    """Build the site and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m docs.build_site", description="Build the site of these pages.")
    parser.add_argument("--zensical", type=Path, required=True, metavar="PROGRAM", help="zensical's command")
    parser.add_argument(
        "--out", type=Path, default=SITE, metavar="DIR", help="where the site goes (default: build/site)"
    )
    arguments = parser.parse_args()
    build(arguments.zensical, arguments.out.absolute())
    print(f"site: {arguments.out / 'index.html'}")


if __name__ == "__main__":
    run_cli(main)
