"""The document of the API: valid, complete, as committed, and readable for people."""

import asyncio
import re

import msgspec
import pytest
from openapi_spec_validator import validate
from starlette.responses import Response

from docs.generate_openapi import FILE, generated_text
from orchestra.policy import Permission
from orchestra.web.asking import Asking
from orchestra_service.assemble import service_handlers
from orchestra_service.openapi import RouteWithoutPromise, document_of
from orchestra_service.operation import Operation
from orchestra_service.policy import POLICY
from tests.service.given import World

Described = dict[str, dict[str, dict[str, object]]]


async def test_everybody_may_read_the_document_and_it_is_valid(small_world: World) -> None:
    answer = await small_world.client().get("/api/v1/openapi.json")

    assert answer.headers["content-type"] == "application/json"
    validate(answer.json())


async def test_every_route_says_what_it_promises(small_world: World) -> None:
    handlers = service_handlers(small_world.parts)

    silent = [row for row, handler in handlers.items() if not isinstance(handler, Operation)]
    paths = document_of(handlers, POLICY)["paths"]

    assert not silent, f"give these rows of `handlers` an Operation: {silent}"
    described = msgspec.convert(paths, Described)
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} == POLICY.keys()


async def test_no_two_routes_have_one_name(small_world: World) -> None:
    handlers = service_handlers(small_world.parts).values()

    names = [handler.name for handler in handlers if isinstance(handler, Operation)]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+_[a-z_]+", name) for name in names)


async def test_a_route_that_promises_nothing_stops_the_document(small_world: World) -> None:
    async def silent(_asking: Asking) -> Response:
        raise AssertionError

    row = ("GET", "/silent")

    with pytest.raises(RouteWithoutPromise, match=r"no Operation in their row of `handlers`: GET /silent"):
        document_of({**service_handlers(small_world.parts), row: silent}, {**POLICY, row: Permission.READ})


async def test_the_committed_document_is_what_the_routes_say() -> None:
    text = await asyncio.to_thread(generated_text)

    assert FILE.read_text(encoding="utf-8") == text, "the API has changed: run `make docs`, and look at the difference"


async def test_the_reference_names_every_route_and_needs_no_script(small_world: World) -> None:
    answer = await small_world.client().get("/api")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; base-uri 'none'; frame-ancestors 'none'",
        answer.headers["content-security-policy"],
    )
    assert "<script" not in answer.text
    unnamed = [path for _, path in POLICY if f"<code>{path}</code>" not in answer.text]
    assert not unnamed
    targets = set(re.findall(r"href='#([^']+)'", answer.text))
    places = re.findall(r"id='?([\w.\[\]-]+)'?", answer.text)
    assert targets <= set(places)
    assert len(places) == len(set(places))


async def test_the_document_is_not_sent_twice(small_world: World) -> None:
    client = small_world.client()
    first = await client.get("/api/v1/openapi.json")

    second = await client.get("/api/v1/openapi.json", headers={"if-none-match": first.headers["etag"]})

    assert (second.status_code, second.content) == (304, b"")
