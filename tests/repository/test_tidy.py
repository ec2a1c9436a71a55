"""The written style, executed: sizes, names, docstrings, waiting, and what has no business in a repository."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.repository.tree import (
    ROOT,
    Function,
    definitions,
    folder,
    module_name,
    place,
    public_definitions,
    python_files,
    source_files,
    syntax,
    tracked_files,
)

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_WORDS = frozenset({"manager", "util", "utils", "helper", "helpers", "info", "misc", "data"})
GLOSSARY_PHRASES = ("data_folder", "data_received")
"""What people (or, for the second, asyncio) call the thing, although a word in it is banned."""
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# Put together from halves, so that this file does not break its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "opt/py" + "pi")) + ")/")
REGISTRY_HOST = re.compile("|".join(("py" + r"pi\.org", "python" + r"hosted\.", "npm" + r"js\.")))


def texts() -> Iterator[tuple[Path, str]]:
    """Every tracked file that is text."""
    for path in tracked_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_python_file_is_longer_than_a_reader_can_keep_in_mind() -> None:
    long = [
        f"{place(path)} has {lines} lines"
        for path in python_files()
        if (lines := path.read_text(encoding="utf-8").count("\n")) > FILE_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_every_function_fits_a_screen() -> None:
    long = [
        f"{place(path, node)} {node.name} has {lines} lines"
        for path in python_files()
        for node in definitions(path)
        if isinstance(node, Function) and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_every_module_and_every_public_thing_of_the_sources_says_what_it_is_for() -> None:
    # Alembic finds its steps in a package that says nothing itself.
    modules = (path for path in source_files() if path.parts[-2:] != ("versions", "__init__.py"))
    silent = [place(path) for path in modules if not ast.get_docstring(syntax(path))]
    silent += [
        f"{place(path, node)} {name}"
        for path in source_files()
        for name, node in public_definitions(path)
        if not ast.get_docstring(node)
    ]
    assert not silent, "without a docstring:\n" + "\n".join(silent)


def test_every_docstring_of_the_sources_begins_with_a_whole_sentence() -> None:
    offenders = []
    for path in source_files():
        for node in (syntax(path), *definitions(path)):
            first = (ast.get_docstring(node) or ".").split("\n\n")[0].rstrip()
            if not first.endswith((".", ":", "?")):
                offenders.append(f"{place(path, node)} {first[-60:]!r}")
    assert not offenders, "a docstring's first paragraph ends with a full stop:\n" + "\n".join(offenders)


def test_names_say_what_a_thing_is() -> None:
    offenders = []
    for path in python_files():
        named = [(None, path.stem), *((node, node.name) for node in definitions(path))]
        for node, name in named:
            plain = name.lower()
            for phrase in GLOSSARY_PHRASES:
                plain = plain.replace(phrase, "")
            words = {word.lower() for word in WORD.findall(name)} if plain == name.lower() else set(plain.split("_"))
            if words & BANNED_WORDS and not name.startswith("test_"):
                offenders.append(f"{place(path, node)} {name}")
            if name.startswith("handle_"):
                offenders.append(f"{place(path, node)} {name}: say what it does")
    assert not offenders, "name the thing by the glossary:\n" + "\n".join(offenders)


def is_sleep(node: ast.AST) -> bool:
    """`time.sleep(1)` and its kin; `sleep(0)` only lets others go first."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name == "sleep" and not (
        node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0  #
    )


MAY_WAIT = frozenset({"journeys", "faults", "simulation", "support/frame_proxy.py"})
"""Real processes, time that is virtual, and a proxy whose delays are what it is for."""


def test_tests_wait_for_conditions_and_never_for_time() -> None:
    offenders = []
    for path in python_files():
        parts = path.relative_to(ROOT).parts
        if parts[0] != "tests" or not MAY_WAIT.isdisjoint({parts[1], "/".join(parts[1:])}):
            continue
        polled = {
            id(inner)
            for node in ast.walk(syntax(path))
            if isinstance(node, ast.While | ast.For | ast.AsyncFor)
            for inner in ast.walk(node)
        }
        offenders += [
            place(path, node)
            for node in ast.walk(syntax(path))
            if isinstance(node, ast.Call) and is_sleep(node) and id(node) not in polled
        ]
    assert not offenders, "a sleep outside a loop that looks at a condition:\n" + "\n".join(offenders)


def test_a_silenced_type_error_says_why() -> None:
    silenced = re.compile(r"#\s*type:\s*ignore(\[[\w, -]*\])?\s*$")
    offenders = [
        f"{place(path)}:{number}"
        for path in python_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if silenced.search(line)
    ]
    assert not offenders, "\n".join(offenders)


def test_no_file_knows_a_machine_or_a_package_index() -> None:
    offenders = [
        f"{place(path)}:{number} {line.strip()[:100]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line) or REGISTRY_HOST.search(line)
    ]
    assert not offenders, "\n".join(offenders)


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in python_files() if folder(path) == "tests"}
    missing = sorted(place(path) for path in folders if not (path / "__init__.py").exists())
    assert not missing, "mypy needs an __init__.py in: " + ", ".join(missing)


def test_every_module_has_its_floor() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    placed = set(re.findall(r"[\w.]+", " ".join(layers)))

    below = {module_name(path) for path in source_files()} - {"orchestra"}
    homeless = sorted({".".join(name.split(".")[:2]) if name.startswith("orchestra.") else name for name in below})
    homeless = [name for name in homeless if name not in placed and name.split(".")[0] not in placed]
    assert not homeless, "give a place in pyproject.toml's floors to: " + ", ".join(homeless)
