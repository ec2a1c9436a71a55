"""What the page of policies says of groups, locks, rates and keys is what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.definition.policy_text import describe_policies
from orchestra.definition.reader import examine_definition, read_definition

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
EXAMPLE = next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "when-full" in block)


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this."""
    table = PAGE[PAGE.index(heading) :].split("\n\n")[0]
    for line in table.split("\n")[2:]:
        yield [cell.strip() for cell in line.split("|")[1:-1]]


def with_line(cell: str) -> str:
    """The example, with this line in place of all of its policies."""
    kept = [line for line in EXAMPLE.splitlines() if not re.match(r"    (concurrency|locks|rate|unique|poison):", line)]
    return "\n".join([*kept, f"    {cell.strip('`')}", ""])


def test_the_example_is_a_definition_without_a_hint() -> None:
    reading = examine_definition(EXAMPLE, "docs/policies.md")

    assert (reading.problems, reading.hints) == ((), ())


@pytest.mark.parametrize(("written", "words"), list(rows("| in the file | in words |")))
def test_a_policy_is_shown_in_the_words_of_the_table(written: str, words: str) -> None:
    [job] = read_definition(with_line(written), "docs/policies.md").jobs

    assert [said for _, said in describe_policies(job.specification.policies)] == [words]


@pytest.mark.parametrize(("written", "sentence"), list(rows("| in the file | is refused, because it |")))
def test_what_can_never_be_met_is_refused_in_the_words_of_the_table(written: str, sentence: str) -> None:
    [problem] = examine_definition(with_line(written), "docs/policies.md").problems

    assert problem.sentence.endswith(f" {sentence}")
    assert problem.help
