"""What jobs write cannot steer the terminal of who reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.cli.terminal import LogGuard, plain
from tests.core.cli.conftest import Typist
from tests.core.cli.stand_in import StandIn, Told, a_page, a_run

DANGEROUS = [
    ("\x1b]0;new title\x07text", "text"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x1b]52;c;ZXZpbA==\x07", ""),
    ("\x1bPq#0;2;0;0;0\x1b\\text", "text"),
    ("\x9d0;title\x9ctext", "text"),
    ("\x1b[2J\x1b[1;1Htext", "text"),
    ("\x1b[?1049htext", "text"),
    ("\x9b31mtext", "text"),
    ("\x1bctext", "text"),
    ("a\x08b\x00c\x7fd\x85e", "abcde"),
    ("\x1b]0;never ends", ""),
    ("50%\r100%\r\ndone", "50%\n100%\ndone"),
]


@pytest.mark.parametrize(("text", "shown"), DANGEROUS)
def test_a_log_keeps_its_text_and_loses_its_controls(text: str, shown: str) -> None:
    """Titles, clipboards, cursors, screens: none."""
    guard = LogGuard(colour=False)

    assert guard.clean(text) + guard.end() == shown


def test_colours_stay_if_they_are_wanted_and_never_leak() -> None:
    """A style that the log left open ends with it."""
    guard = LogGuard(colour=True)

    assert guard.clean("\x1b[31mred") + guard.end() == "\x1b[31mred\x1b[0m"
    assert LogGuard(colour=False).clean("\x1b[31mred\x1b[0m") == "red"


@given(
    pieces=st.lists(
        st.sampled_from(
            ["\x1b", "]", "[", "0;", "31m", "\x07", "\\", "\r", "\n", "a", "P", "\x9d", "\x9c", "\x9b", " "]
        ),
        max_size=24,
    ),
    colour=st.booleans(),
)
def test_where_a_log_is_cut_makes_no_difference(pieces: list[str], colour: bool) -> None:
    """A sequence in two pieces is the same sequence."""
    whole, cut = LogGuard(colour=colour), LogGuard(colour=colour)

    at_once = whole.clean("".join(pieces)) + whole.end()
    by_and_by = "".join(cut.clean(piece) for piece in pieces) + cut.end()

    assert by_and_by == at_once
    if not colour:
        assert not set(at_once) & set("\x1b\x07\x9b\x9c\x9d\r")


def test_a_name_cannot_break_its_line_or_turn_it_around() -> None:
    """Neither by a line feed nor by a change of the writing direction."""
    assert plain("a\nb\u202ec\x1b[31md") == "a bcd"


def test_a_terminal_is_protected_and_a_pipe_gets_every_byte(typed: Typist, server: StandIn) -> None:
    """The same log, to a person and to a file."""
    body = b"\x1b]0;evil\x07text \xff\r\n"
    length = {"X-Log-Length": str(len(body)), "Content-Type": "text/plain"}
    server.on("GET", "/api/v1/runs/482/log", Told(status=206, body=body, headers=length))

    assert typed("logs", "482", terminal=True).out == "text \ufffd\n"
    assert typed("logs", "482", "--raw", terminal=True).out == body.decode(errors="replace")
    assert typed("logs", "482").out == body.decode(errors="replace")


def test_a_worker_cannot_paint_the_list(typed: Typist, server: StandIn) -> None:
    """Names and reasons are cleaned too."""
    server.on("GET", "/api/v1/runs", a_page(a_run(worker="\x1b[2Jatlas", reason="\x1b]0;x\x07why")))

    ended = typed("runs", terminal=True)

    assert "\x1b[2J" not in ended.out
    assert "\x1b]" not in ended.out
    assert "atlas" in ended.out


def test_no_color_is_obeyed(typed: Typist, server: StandIn) -> None:
    """The word says it all anyway."""
    server.on("GET", "/api/v1/runs", a_page(a_run(state="failed")))

    coloured = typed("runs", terminal=True)
    typed.environment["NO_COLOR"] = "1"
    colourless = typed("runs", terminal=True)

    assert "\x1b[31mfailed\x1b[0m" in coloured.out
    assert "\x1b" not in colourless.out
