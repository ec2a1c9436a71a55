"""What all lists share: how they are asked for page by page, and the line below them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from orchestra.cli.invocation import Invocation

if TYPE_CHECKING:
    from orchestra.cli.answers import Page

Function = TypeVar("Function", bound=Callable[..., object])
Item = TypeVar("Item")


def paging_options(function: Function) -> Function:
    """--limit and --cursor."""
    function = click.option("--cursor", metavar="CURSOR", help="Go on where the last page ended.")(function)
    return click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Rows.")(function)


def show_list(
    call: Invocation, page: "Page[Item]", headings: list[str], rows: list[list[str]], *, nothing: str
) -> None:
    """A table, and below it how much more there is; an empty list says what to do."""
    if not rows:
        call.screen.note(nothing)
        return
    call.screen.table(headings, rows)
    if page.next:
        more = "" if page.total.exact else "+"
        call.screen.note(f"{len(rows)} of {page.total.value:,}{more}; more: --cursor {page.next}")
