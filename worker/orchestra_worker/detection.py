"""What a worker finds out about its machine; properties that were given by hand win over these."""

import os
import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestra.errors import OrchestraError
from orchestra.identifiers import checked_name
from orchestra.specification import PropertyValue

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The names that container images and packages have made common."""
_NAME = "name"
"""The master adds it: two workers that say the same of it would both be taken for one."""
_GIGABYTE = 1_000_000_000


class BadProperty(OrchestraError):
    """A property on the command line has no value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text!r} is no property: write name=value"


class OwnProperty(OrchestraError):
    """A property on the command line is one that every worker has of itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text!r} cannot be given: `name` is the worker's own name, which --name says"


def detected_properties() -> dict[str, PropertyValue]:
    """os, arch, cpus, memory (text such as "33.4GB", of 10^9 bytes, rounded down), python (major.minor) and
    hostname."""
    properties: dict[str, PropertyValue] = {
        "os": platform.system().lower(),
        "arch": _MACHINES.get(platform.machine(), platform.machine().lower()),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "hostname": socket.gethostname(),
    }
    memory = _memory_bytes()
    if memory:
        properties["memory"] = size_text(memory)
    return properties


def size_text(size: int) -> str:
    """Bytes as a requirement compares them: `>= 32GB` holds on a machine that was sold with 32 GB."""
    tenths = size * 10 // _GIGABYTE
    return f"{tenths // 10}.{tenths % 10}GB" if tenths % 10 else f"{tenths // 10}GB"


def given_properties(texts: Sequence[str]) -> dict[str, PropertyValue]:
    """`gpu=true`, `rack=12`, `role=db` as values: true and false, whole and decimal numbers, else text. Raises
    BadProperty, or OwnProperty for a name that no worker can choose."""
    properties: dict[str, PropertyValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value.strip():
            raise BadProperty(text)
        if name.strip() == _NAME:
            raise OwnProperty(text)
        properties[checked_name("property", name.strip())] = _value(value.strip())
    return properties


def all_properties(given: Mapping[str, PropertyValue]) -> dict[str, PropertyValue]:
    """What is detected, and over it what is given."""
    return {**detected_properties(), **given}


def _value(text: str) -> PropertyValue:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        # Only what looks the same when it is printed: a version 1.10 or a code 007 is text.
        if str(number) == text and number == number and abs(number) < 1e15:
            return number
    return text


def installed_version() -> str:
    """The version of this program."""
    for folder in sys.path:
        # By the name that installers give to its folder: the standard library's way costs a megabyte for good.
        for found in Path(folder).glob("job_orchestra-*.dist-info"):
            return found.name.removeprefix("job_orchestra-").removesuffix(".dist-info")
    from importlib.metadata import version

    return version("job-orchestra")


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
