"""The figures of the house style: lines, comments and docstrings of each module, and the bounds that they keep.

python tests/house.py

Comments are counted in comment tokens per line that is not blank, without directives to tools (``type: ignore``). A
docstring that begins with a question word ("What …", "Whether …") is a clause; a verb or a noun reads better.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("dragoman", "scoring", "handlers", "train", "tune", "model_registry", "deploy", "benchmarks")
# Lists of words and sentence patterns: data in the form of Python.
DATA = "train/tasks/translation/phrasebook/"
# Modules whose algorithm does not show in the code alone.
HARD = (
    "dragoman/engines/t5/lane.py",
    "dragoman/engines/t5/slots.py",
    "dragoman/engines/ct2.py",
    "dragoman/engines/onnx/graph.py",
    "dragoman/engines/onnx/session.py",
    "dragoman/engines/onnx/torch_graph.py",
    "dragoman/batching/*.py",
    "model_registry/promotion/lease.py",
    "tune/study/plan.py",
    "train/loop.py",
)
LEAST_OF_HARD, LEAST_OF_ALL, MOST_CLAUSES, MOST_MODULES = 0.05, 0.027, 0.02, 10
CLAUSE = re.compile(r"(What|Whether|How|Where|Who|Which|When|Why)\b")
DIRECTIVE = re.compile(r"#\s*(type:|noqa|pragma)")


@dataclass(frozen=True)
class Module:
    """The counts of one module; ``code`` are its lines that are not blank."""

    name: str
    lines: int
    code: int
    comments: int
    docstrings: int
    clauses: int

    @property
    def comment_share(self) -> float:
        """Comments per line that is not blank."""
        return self.comments / self.code if self.code else 0.0


def count(name: str, text: str) -> Module:
    """Count the lines, comments and docstrings of a module's text."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    written = [docstring for docstring in docstrings if docstring]
    lines = text.splitlines()
    return Module(
        name=name,
        lines=len(lines),
        code=sum(bool(line.strip()) for line in lines),
        comments=sum(not DIRECTIVE.match(comment) for comment in comments),
        docstrings=len(written),
        clauses=sum(bool(CLAUSE.match(docstring)) for docstring in written),
    )


def read_modules(root: Path = ROOT) -> list[Module]:
    """Count every module of the packages, and the service."""
    paths = [root / "service.py"]
    for package in PACKAGES:
        paths += sorted((root / package).rglob("*.py"))
    names = [path.relative_to(root).as_posix() for path in paths]
    return [count(name, (root / name).read_text(encoding="utf-8")) for name in names if not name.startswith(DATA)]


def complaints(modules: Sequence[Module]) -> list[str]:
    """Return every bound that is not kept, with the figure found."""
    found = []
    for pattern in HARD:
        hard = [module for module in modules if Path(module.name).match(pattern) and "__init__" not in module.name]
        if not hard:
            found.append(f"{pattern}: no such module")
        for module in hard:
            if module.comment_share < LEAST_OF_HARD:
                found.append(f"{module.name}: {module.comment_share:.1%} comments, at least {LEAST_OF_HARD:.0%} wanted")
    share = total_share(modules)
    if share <= LEAST_OF_ALL:
        found.append(f"all modules: {share:.2%} comments, more than {LEAST_OF_ALL:.1%} wanted")
    clauses = sum(module.clauses for module in modules) / max(1, sum(module.docstrings for module in modules))
    if clauses > MOST_CLAUSES:
        found.append(f"all modules: {clauses:.1%} of the docstrings are clauses, at most {MOST_CLAUSES:.0%} accepted")
    folders = Counter(Path(module.name).parent.as_posix() for module in modules if "__init__" not in module.name)
    for folder, number in folders.items():
        if number > MOST_MODULES:
            found.append(f"{folder}: {number} modules, at most {MOST_MODULES} accepted")
    return found


def total_share(modules: Sequence[Module]) -> float:
    """Return the comments of all modules per line that is not blank."""
    return sum(module.comments for module in modules) / max(1, sum(module.code for module in modules))


def main() -> int:
    """Print a line for each module and for all, then what is not kept; 1 when there is something."""
    modules = read_modules()
    print("lines  comments  clauses  module")
    for module in modules:
        print(f"{module.lines:5d} {module.comment_share:9.1%} {module.clauses:8d}  {module.name}")
    lines, clauses = sum(module.lines for module in modules), sum(module.clauses for module in modules)
    print(f"{lines:5d} {total_share(modules):9.1%} {clauses:8d}  all {len(modules)} modules")
    found = complaints(modules)
    for complaint in found:
        print(complaint, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
