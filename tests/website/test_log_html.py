"""What a job prints is text: colours become classes, everything else that a terminal would obey is shown or dropped."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.limits import LINE_BYTES_MAX
from orchestra.logs.lines import line_of
from orchestra_website.ansi import AnsiText, last_state, plain
from orchestra_website.log_html import AppendedLines, FollowedLines, lines_html

TAGS = re.compile(r"<[^>]*>")
OURS = re.compile(r'</?(span|a|i)( (id="L\d+"|href="[^"<>]*"|class="[a-z0-9 -]+"))*>')


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("<script>alert(1)</script> & \"'", "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;&#39;"),
        ("\x1b[1;31mred\x1b[0m no", '<span class="t-bold c1">red</span> no'),
        ("\x1b[91mred\x1b[39m no", '<span class="c1">red</span> no'),
        ("\x1b[38;5;196ma\x1b[48;2;10;200;10mb\x1b[m", '<span class="c1">a</span><span class="c1 g2">b</span>'),
        ("\x1b[38:5:4ma", '<span class="c4">a</span>'),
        ("\x1b[4;3;9;2ma\x1b[24;23;29;22mb", '<span class="t-faint t-italic t-line t-struck">a</span>b'),
        ("\x1b[999;38;5mx\x1b[?25l\x1b[2Jy\x1b(B", "xy"),
        ("\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x1b\\ here", "click here"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]0;a title without its end", "]0;a title without its end"),
        ("\x1bPq#0;2;0;0;0\x1b\\image", "image"),
        ("\x9b31mred", '<span class="c1">red</span>'),
        ("bell\x07 back\x08 nul\x00 del\x7f", "bell␇ back␈ nul␀ del␡"),
        ("evil\u202ecod\u2066e\u200b", "evil⟨U+202E⟩cod⟨U+2066⟩e⟨U+200B⟩"),
        ("a\tb", "a\tb"),
        ("\x1b", ""),
        ("\x1b[31" + ";1" * 5000 + "mx", '<span class="t-bold c1">x</span>'),
    ],
)
def test_a_line_becomes_html(text: str, html: str) -> None:
    assert str(AnsiText().line(text)) == html


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("10%\r50%\r100%", "100%"),
        ("10%\r100%\r", "100%"),
        ("10%\r\x1b[K", "10%"),
        ("windows\r", "windows"),
        ("\r\r", ""),
        ("no return", "no return"),
    ],
)
def test_a_progress_bar_collapses_to_its_last_state(text: str, state: str) -> None:
    assert last_state(text) == state


def test_a_colour_goes_on_over_the_end_of_the_line() -> None:
    lines = [line_of(1, 0, b"\x1b[32mone"), line_of(2, 9, b"two\x1b[0m three")]

    assert str(lines_html(lines)) == (
        '<span id="L1"><a href="#L1">1</a><span class="c2">one</span>\n</span>'
        '<span id="L2"><a href="#L2">2</a><span class="c2">two</span> three\n</span>'
    )


@given(text=st.text(alphabet=st.one_of(st.sampled_from('\x1b[]m;0123<>"&\r\x07\\'), st.characters()), max_size=80))
def test_nothing_that_is_printed_becomes_markup(text: str) -> None:
    html = str(AnsiText().line(text))

    assert all(OURS.fullmatch(tag) for tag in TAGS.findall(html))
    assert "\x1b" not in html
    assert "\x1b" not in plain(text)


@pytest.mark.parametrize("begin", ["\x9d", "\x90x", "\x1b]", "\x9b0;", "\x1b[", "\x1b "])
def test_begins_without_an_end_cost_no_more_than_other_text(begin: str) -> None:
    text = begin * 200_000

    # Looking for an end from each of them would take hours.
    assert "\x1b" not in plain(text)
    assert "\x9d" not in AnsiText().line(text)


def test_broken_text_is_shown_as_broken() -> None:
    assert "caf� ��" in str(lines_html([line_of(1, 0, b"caf\xc3 \xff\xfe")]))


def test_a_very_long_line_shows_both_ends_and_how_much_is_left_out() -> None:
    html = str(lines_html([line_of(3, 0, b"a" * 10_000_000 + b"END")]))

    assert len(html) < 3 * LINE_BYTES_MAX
    assert "9.5 MiB left out" in html
    assert "END" in html


def test_a_very_long_progress_bar_shows_its_last_state() -> None:
    html = str(lines_html([line_of(3, 0, b"".join(b"%d%%\r" % part for part in range(100_000)))]))

    assert html == '<span id="L3"><a href="#L3">3</a>99999%\n</span>'


PIECES = st.lists(st.text(alphabet="ab\n\x1b[3m1\r", max_size=12), max_size=12)


@given(pieces=PIECES)
def test_followed_lines_are_the_same_as_those_of_a_window_however_they_came(pieces: list[str]) -> None:
    whole = "".join(pieces)
    followed = FollowedLines(1, base="")
    html = ""
    for piece in pieces:
        html += followed.feed(piece)[0]

    content = whole.split("\n")[:-1]
    expected = lines_html([line_of(number, 0, line.encode()) for number, line in enumerate(content, 1)])
    assert html == str(expected)
    assert followed.next_line == whole.count("\n") + 1


def test_the_open_line_is_drawn_anew_and_its_colours_count_once() -> None:
    lines = FollowedLines(7, base="/log?line=")

    _, first = lines.feed("\x1b[31mbuild")
    _, second = lines.feed("ing")
    whole, rest = lines.feed(" done\nnext")

    assert first == '<span id="L7"><a href="/log?line=7#L7">7</a><span class="c1">build</span>\n</span>'
    assert second == '<span id="L7"><a href="/log?line=7#L7">7</a><span class="c1">building</span>\n</span>'
    assert whole == '<span id="L7"><a href="/log?line=7#L7">7</a><span class="c1">building done</span>\n</span>'
    assert rest == '<span id="L8"><a href="/log?line=8#L8">8</a><span class="c1">next</span>\n</span>'


def test_without_a_script_an_open_line_grows_to_the_right() -> None:
    lines = AppendedLines(1, base="")
    html = ""
    for piece in ("...", "..\x1b[3", "2m.", "..F\n", "10%\r", "20%\r", "100%\nend"):
        html += str(lines.feed(piece)) + str(lines.flush())

    assert html == (
        '<a id="L1" href="#L1">1</a>.....<span class="c2">.</span><span class="c2">..F</span>\n'
        '<span id="L2"><a href="#L2">2</a><span class="c2">100%</span>\n</span>'
        '<a id="L3" href="#L3">3</a><span class="c2">end</span>'
    )


def test_a_line_that_never_ends_keeps_nothing_but_its_ends_in_memory() -> None:
    lines = FollowedLines(1, base="")
    for _ in range(200):
        lines.feed("x" * 65_536)

    whole, _ = lines.feed("END\n")

    assert len(whole) < 3 * LINE_BYTES_MAX
    assert "left out" in whole
    assert "END" in whole
