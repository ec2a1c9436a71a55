"""`orchestra approve` and `orchestra reject`: the answer to a pipeline that asks, and its elements as text."""

from typing import TYPE_CHECKING

import click

from orchestra.cli.invocation import Invocation
from orchestra.cli.terminal import plain
from orchestra.cli.words import ApiCommand

if TYPE_CHECKING:
    from orchestra.cli.answers import ElementShown


@click.command(cls=ApiCommand)
@click.argument("number", type=int, metavar="RUN")
@click.argument("element", metavar="ELEMENT")
@click.option("--reason", metavar="TEXT", help="Why; it is kept with the run.")
@click.pass_obj
def approve(call: Invocation, *, number: int, element: str, reason: str | None) -> None:
    """Say yes to an element of a pipeline that waits for a person.

    \b
      orchestra approve 500 deploy --reason "tested by hand"
    """
    _answer(call, "approve", number, element, reason)


@click.command(cls=ApiCommand)
@click.argument("number", type=int, metavar="RUN")
@click.argument("element", metavar="ELEMENT")
@click.option("--reason", metavar="TEXT", help="Why; it is kept with the run.")
@click.pass_obj
def reject(call: Invocation, *, number: int, element: str, reason: str | None) -> None:
    """Say no to an element of a pipeline that waits for a person; it has failed then."""
    _answer(call, "reject", number, element, reason)


def element_lines(call: Invocation, elements: "list[ElementShown]") -> list[str]:
    """One line for each element; what several runs have come to is counted."""
    width = max((len(plain(element.name)) for element in elements), default=0)
    return [f"  {plain(element.name):<{width}}  {_stands(call, element)}" for element in elements]


def _stands(call: Invocation, element: "ElementShown") -> str:
    parts = [call.screen.state(element.state)]
    if len(element.instances) == 1 and element.instances[0].run is not None:
        parts.append(f"#{element.instances[0].run}{' of an earlier try' if element.instances[0].is_reused else ''}")
    elif element.instances:
        over = sum(each.state not in ("blocked", "waiting", "running") for each in element.instances)
        parts.append(f"{over} of {len(element.instances)} over")
    if element.approval is not None and element.state == "waiting":
        asked = ", ".join(element.approval.by) or "everybody who may run the job"
        parts.append(f"asks {plain(asked)}: {plain(element.approval.message)}".removesuffix(": "))
    if element.reason:
        parts.append(plain(element.reason))
    return ", ".join(parts)


def _answer(call: Invocation, verb: str, number: int, element: str, reason: str | None) -> None:
    from orchestra.cli.answers import Elements
    from orchestra.network.client import api

    path = api("runs", number, "elements", element, verb)
    answer = call.client().post(path, {"reason": reason} if reason else {})
    if call.screen.as_json:
        call.screen.json(answer.body)
        return
    found = answer.read(Elements)
    call.screen.line(f"Run #{number} is {found.state}:")
    call.screen.write("\n".join(element_lines(call, found.elements)) + "\n")
