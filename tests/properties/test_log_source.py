"""The worker's log on its way out: the same masked bytes and the same digest under any chunking, rewind, restart of the
agent, and disk given back."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestra.limits import SECRET_BYTES_MIN
from orchestra.logs import digest as digest_module
from orchestra_worker import log_source as log_source_module
from orchestra_worker.log_source import LogSource
from orchestra_worker.masking import Masker, needles
from tests.properties.effort import effort

SEGMENT = 8192
BLOCK = 4096
"""The file system's own: a hole has no smaller pieces."""
SECRETS = ["abcabcab", "bcabca", "long-secret-with-üñí", "line one\nline two\nend", "aaaaaa"]
FRAGMENTS = [form[:cut] for secret in SECRETS for form in sorted(needles(secret))[:4] for cut in (3, 6, len(form))]

small_texts = st.one_of(
    st.sampled_from(FRAGMENTS), st.text(alphabet="abc", max_size=12).map(str.encode), st.binary(max_size=20)
)
outputs = st.one_of(
    st.lists(small_texts, min_size=1, max_size=6).map(b"".join),
    st.tuples(small_texts, st.integers(1, 3 * SEGMENT), small_texts).map(
        lambda parts: parts[0] + b"-" * parts[1] + parts[2]
    ),
)
secret_lists = st.lists(st.sampled_from(SECRETS), unique=True, max_size=4)


def masked(content: bytes, secrets: list[str]) -> bytes:
    """Each form of each secret at each place, looked for one by one."""
    covered = bytearray(content)
    for needle in {form for secret in secrets for form in needles(secret)}:
        place = content.find(needle)
        while place >= 0:
            covered[place : place + len(needle)] = b"*" * len(needle)
            place = content.find(needle, place + 1)
    return bytes(covered)


def whole(content: bytes, secrets: list[str]) -> bytes:
    """The same for a log that has ended: what may be the beginning of a secret at its end is masked too."""
    every = {form for secret in secrets for form in needles(secret)}
    starts = {form[:length] for form in every for length in range(SECRET_BYTES_MIN, len(form))}
    cut = max((len(start) for start in starts if content.endswith(start)), default=0)
    return masked(content, secrets)[: len(content) - cut] + b"*" * cut


def digest_of(content: bytes) -> str:
    """The digest of a whole log."""
    digest = digest_module.SegmentedDigest()
    digest.update(content)
    return digest.hexdigest()


class LogSourceMachine(RuleBasedStateMachine):
    """A step that prints, an agent that sends and dies, a master that stores and may forget what came last."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(digest_module, "SEGMENT_BYTES", SEGMENT)
        self.patch.setattr(log_source_module, "SEGMENT_BYTES", SEGMENT)
        self.patch.setattr(log_source_module, "PUNCH_BYTES", SEGMENT)
        self.folder = Path(tempfile.mkdtemp(prefix="log-source-"))
        self.output = b""
        self.received = b""
        """By the master, in memory: what a crash of the master takes."""
        self.stored = 0
        self.is_over = False

    @initialize(secrets=secret_lists)
    def begin(self, secrets: list[str]) -> None:
        self.secrets = secrets
        self.source = LogSource(self.folder, Masker(secrets))

    def teardown(self) -> None:
        """Whatever happened, the rest comes, and the digest is that of what came."""
        try:
            if hasattr(self, "source"):
                self._finish()
        finally:
            shutil.rmtree(self.folder)
            self.patch.undo()

    def _finish(self) -> None:
        self.is_over = True
        self.pieces_leave(limit=10**6, count=10**6)
        expected = whole(self.output, self.secrets)
        assert self.received == expected
        assert self.source.length == len(self.output)
        assert self.source.digest(len(expected)) == digest_of(expected)
        self.source.close()

    @precondition(lambda self: not self.is_over)
    @rule(output=outputs)
    def the_step_prints(self, output: bytes) -> None:
        with (self.folder / "log").open("ab") as file:
            file.write(output)
        self.output += output

    @rule()
    def the_step_ends(self) -> None:
        self.is_over = True

    @rule(limit=st.one_of(st.integers(1, 40), st.integers(1, 3 * SEGMENT)), count=st.integers(1, 8))
    def pieces_leave(self, limit: int, count: int) -> None:
        for _ in range(count):
            piece = self.source.next_piece(limit, ended=self.is_over)
            if piece is None:
                break
            offset, content = piece
            assert offset == len(self.received)
            assert 0 < len(content) <= limit
            self.received += content
        if piece is None and self.is_over:
            assert len(self.received) == len(self.output)

    @rule(share=st.floats(0, 1))
    def the_master_stores(self, share: float) -> None:
        self.stored = max(self.stored, round(len(self.received) * share))
        self.source.acknowledge(self.stored)

    @rule(share=st.floats(0, 1))
    def an_old_acknowledgement_comes(self, share: float) -> None:
        self.source.acknowledge(round(self.stored * share))

    @rule()
    def the_link_is_cut(self) -> None:
        self.received = self.received[: self.stored]
        self.source.rewind(self.stored)
        self.source.acknowledge(self.stored)

    @rule(takes_segments=st.booleans(), torn=st.integers(0, 31))
    def the_agent_is_killed(self, takes_segments: bool, torn: int) -> None:
        """With the machine, if it takes segments: those of which nothing was given back are not on the disk yet."""
        self.source.close()
        segments = self.folder / "log.segments"
        if takes_segments and segments.exists() and not self._has_holes():
            with segments.open("r+b") as file:
                file.truncate(min(torn, segments.stat().st_size))
        self.source = LogSource(self.folder, Masker(self.secrets))
        self.the_link_is_cut()

    @rule(share=st.floats(0, 1), torn=st.integers(0, 31))
    def power_fails_and_takes_what_was_not_synced(self, share: float, torn: int) -> None:
        length = self.stored + round((len(self.output) - self.stored) * share)
        if not whole(self.output[:length], self.secrets).startswith(self.received[: self.stored]):
            return  # It would end in the first bytes of a secret, which the master has masked: no longer the same log.
        if (self.folder / "log").exists():
            os.truncate(self.folder / "log", length)
        self.output = self.output[:length]
        self.is_over = True
        self.the_agent_is_killed(takes_segments=True, torn=torn)

    @rule(share=st.floats(0, 1))
    def a_shorter_digest_is_asked_for(self, share: float) -> None:
        """Of what is stored at least: before that there may be no bytes any more."""
        if not self.is_over:
            return
        expected = whole(self.output, self.secrets)
        length = self.stored + round((len(expected) - self.stored) * share)
        assert self.source.digest(length) == digest_of(expected[:length])

    @invariant()
    def what_left_is_masked(self) -> None:
        expected = whole if self.is_over else masked
        assert not hasattr(self, "source") or expected(self.output, self.secrets).startswith(self.received)

    def _has_holes(self) -> bool:
        status = (self.folder / "log").stat()
        return status.st_blocks * 512 < status.st_size


LogSourceMachine.TestCase.settings = effort(100, steps=30)
TestLogSource = LogSourceMachine.TestCase


@effort(200)
@given(secret_lists, st.lists(small_texts, max_size=12).map(b"".join))
def test_a_whole_is_masked_as_its_bytes_say(secrets: list[str], content: bytes) -> None:
    assert Masker(secrets).mask_window(content, 0, len(content)) == masked(content, secrets)


@effort(200)
@given(secret_lists, st.text(alphabet=st.characters(codec="utf-8"), max_size=6), st.sampled_from(SECRETS))
def test_a_text_is_masked_as_its_bytes_are(secrets: list[str], around: str, secret: str) -> None:
    text = around + secret + around[::-1]

    assert Masker(secrets).mask_text(text).encode() == masked(text.encode(), secrets)


@pytest.mark.skipif(not hasattr(os, "SEEK_HOLE"), reason="this system has no holes")
def test_the_machine_gives_disk_back(tmp_path: Path) -> None:
    """Or all of the above would be proven of a log that never has a hole."""
    machine = LogSourceMachine()
    machine.begin(["abcabcab"])
    machine.the_step_prints(b"x" * 5 * SEGMENT)
    machine.pieces_leave(limit=SEGMENT, count=6)
    machine.the_master_stores(1.0)

    assert machine._has_holes()
    machine.teardown()
