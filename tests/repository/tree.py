"""The repository as the tidy tests read it: which files there are, and what is defined in them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = frozenset({"orchestra", "master", "worker", "service", "website", "migrations"})

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


def pages() -> frozenset[Path]:
    """Every page of the documentation, and the README."""
    return frozenset(path for path in tracked_files() if path.suffix == ".md")


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
        if _is_public(node):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if _is_public(member):
                        yield f"{node.name}.{member.name}", member


def _is_public(node: ast.stmt) -> TypeGuard[Definition]:
    """Overloads are left out: they only tell the types of the function that follows them."""
    if not isinstance(node, Definition) or node.name.startswith("_"):
        return False
    return not any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in node.decorator_list)


def place(path: Path, node: ast.AST | None = None) -> str:
    """Where something is, as editors understand it."""
    name = str(path.relative_to(ROOT))
    return f"{name}:{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else name
