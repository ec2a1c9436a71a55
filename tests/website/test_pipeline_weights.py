"""Pages of large pipelines: they stay light enough for a phone, however many elements and runs there are."""

import gzip
import re

import pytest

from orchestra.elements import Element, Matrix, Pipeline
from tests.service.given import World
from tests.support.pages import words_of
from tests.website.pipelines import SUCCEEDED, begin, define, pipeline_job

KIBI = 1024
PAGE_BYTES_MAX = 20 * KIBI
WIDE = 20
"""Elements of one column."""


@pytest.mark.parametrize("tab", ["", "/graph", "/timeline"])
async def test_a_page_of_300_elements_is_light(small_world: World, tab: str) -> None:
    client = await small_world.administrator()
    elements = tuple(
        Element(
            name=f"element-number-{number}",
            job="backup",
            after={f"element-number-{number - WIDE}": SUCCEEDED} if number >= WIDE else {},
        )
        for number in range(300)
    )
    await define(small_world, pipeline_job("large", Pipeline(elements=elements)))
    run = await begin(small_world, client, "large")

    page = await client.get(f"/runs/{run}{tab}")

    size = len(gzip.compress(page.content, 6))
    assert page.status_code == 200
    assert page.text.count("element-number-299") >= 1
    assert size <= PAGE_BYTES_MAX, f"{size} bytes"


@pytest.mark.parametrize("tab", ["", "/graph", "/timeline", "/graph?element=many"])
async def test_a_matrix_of_1000_runs_is_shown_in_part(small_world: World, tab: str) -> None:
    client = await small_world.administrator()
    matrix = Matrix(axes={"number": tuple(range(1000))})
    await define(
        small_world, pipeline_job("large", Pipeline(elements=(Element(name="many", job="backup", matrix=matrix),)))
    )
    run = await begin(small_world, client, "large")

    page = await client.get(f"/runs/{run}{tab}")

    size = len(gzip.compress(page.content, 6))
    assert "1000" in words_of(page)
    assert size <= PAGE_BYTES_MAX, f"{size} bytes"


async def test_the_runs_of_one_element_are_reached_part_by_part(small_world: World) -> None:
    client = await small_world.administrator()
    matrix = Matrix(axes={"number": tuple(range(1000))})
    await define(
        small_world, pipeline_job("large", Pipeline(elements=(Element(name="many", job="backup", matrix=matrix),)))
    )
    run = await begin(small_world, client, "large")

    pages = [await client.get(f"/runs/{run}/graph?element=many&first={first}") for first in (1, 401, 801)]

    keys = [key for page in pages for key in re.findall(r"<code>number=(\d+)</code>", page.text)]
    assert sorted(map(int, keys)) == list(range(1000))
    assert f'href="/runs/{run}/graph?first=401&amp;element=many" rel="next"' in pages[0].text
    assert "runs 801 to 1000 of 1000" in words_of(pages[2])
    assert "Later" not in words_of(pages[2])
