"""What a job writes into `$ORCHESTRA_RESULTS`: read after each step, bounded, masked, and only what is new is sent."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from orchestra.errors import OrchestraError
from orchestra.limits import RESULTS_BYTES_MAX

RESULT_NAME_CHARACTERS_MAX = 128
_MASKED = msgspec.Raw(b'"******"')
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class BadResults(OrchestraError):
    """A job's results cannot be taken; the sentence is made by who raises it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def read_results(path: str | Path, *, mask_text: Callable[[str], str]) -> dict[str, msgspec.Raw]:
    """The file's values, masked; nothing for a file that is not there or empty. Raises BadResults."""
    try:
        with open(path, "rb") as file:
            content = file.read(RESULTS_BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadResults(f"the results file cannot be read: {error.strerror}") from None
    if len(content) > RESULTS_BYTES_MAX:
        raise BadResults(f"the results have more than {RESULTS_BYTES_MAX} bytes: keep large results elsewhere")
    if not content.strip():
        return {}
    try:
        # Decoded as a whole first: raw values are not looked into otherwise.
        msgspec.json.decode(content)
        values = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadResults(f"the results file is no JSON object of names and values: {error}") from None
    long = next((name for name in values if not 0 < len(name) <= RESULT_NAME_CHARACTERS_MAX), None)
    if long is not None:
        raise BadResults(
            f"the result name {long[:40]!r} is empty or longer than {RESULT_NAME_CHARACTERS_MAX} characters"
        )
    return {mask_text(name): _masked(value, mask_text) for name, value in values.items()}


def changed_results(known: Mapping[str, msgspec.Raw], read: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Those that are new or have another value."""
    return {name: value for name, value in read.items() if name not in known or bytes(known[name]) != bytes(value)}


def _masked(value: msgspec.Raw, mask_text: Callable[[str], str]) -> msgspec.Raw:
    text = bytes(value).decode()
    masked = mask_text(text)
    if masked == text:
        return msgspec.Raw(bytes(value))
    try:
        msgspec.json.decode(masked)
    except msgspec.MsgspecError:
        return _MASKED  # A secret that was not inside of a string, a number for instance.
    return msgspec.Raw(masked.encode())
