"""The repository as the tidy tests read it: which files there are, and what is defined in them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = frozenset({"orchestra", "master", "worker", "service", "migrations"})

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@cache
def tracked_files() -> tuple[Path, ...]:
    """What the repository holds, without what was deleted but not yet committed."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in listing.split("\0") if name and (path := ROOT / name).is_file())


def python_files() -> tuple[Path, ...]:
    """Every Python file: sources, tests, benchmarks, generators."""
    return tuple(path for path in tracked_files() if path.suffix == ".py")


def source_files() -> tuple[Path, ...]:
    """The Python files of the product itself."""
    return tuple(path for path in python_files() if folder(path) in SOURCE_FOLDERS)


def folder(path: Path) -> str:
    """The first part of the path below the repository's root."""
    return path.relative_to(ROOT).parts[0]


def module_name(path: Path) -> str:
    """`master/orchestra_master/links.py` as `orchestra_master.links`, a package by its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "orchestra" else parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def syntax(path: Path) -> ast.Module:
    """The file's syntax tree, parsed once."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def definitions(path: Path) -> Iterator[Definition]:
    """Every class and function of a file, nested ones too."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, Definition):
            yield node


def public_definitions(path: Path) -> Iterator[tuple[str, Definition]]:
    """What others may call, by its name: classes, functions and methods without a leading underscore."""
    for node in syntax(path).body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, Function) and not member.name.startswith("_"):
                        yield f"{node.name}.{member.name}", member


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where something is, as editors understand it."""
    name = str(path.relative_to(ROOT))
    return f"{name}:{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else name
