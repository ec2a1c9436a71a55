"""Requests that a machine makes up from the document, good ones and bad ones: no answer is one that it does not name.

`make fuzz` makes many more of them, and others each time.
"""

import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.serving import Serving, serving

AnyCase = Case[Any]
MANY = "ORCHESTRA_FUZZ_EXAMPLES"
EXAMPLES = int(os.environ.get(MANY, "8"))
ONLY_WHEN_ASKED = pytest.mark.skipif(MANY not in os.environ, reason="make fuzz tries this too")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
KNOWN: dict[str, list[object]] = {
    "project": ["ops", "nothing", "\u0000"],
    "job": ["backup", "resize", "nothing"],
    "schedule": ["backup"],
    "run": [1, 2, 3, 99],
    "attempt": [1, 2],
    "element": ["build", "ask", "nothing"],
    "worker": ["atlas", "nobody"],
    "user": ["ana", "nobody"],
    "token": [2, 99],
    "session": [1, 99],
}
"""What paths are made of: mostly what is there, and never the one who asks."""


def document(served: Serving) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    """The document as served, with the known things in its paths."""
    answer = requests.get(f"{served.address}/api/v1/openapi.json", timeout=20)
    described: dict[str, dict[str, dict[str, dict[str, object]]]] = answer.json()
    for methods in described["paths"].values():
        for operation in methods.values():
            parameters = operation["parameters"]
            assert isinstance(parameters, list)
            for parameter in parameters:
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": KNOWN[parameter["name"]]}
    return described


def fuzz(served: Serving, headers: dict[str, str], mode: GenerationMode, examples: int) -> list[str]:
    """Tries every operation, and says what went wrong."""
    problems: list[str] = []
    with requests.Session() as session:
        for found in schemathesis.openapi.from_dict(document(served)).get_all_operations():
            assert not isinstance(found, Err), found
            operation = found.ok()

            def check(case: AnyCase) -> None:
                case.call_and_validate(
                    base_url=served.address, session=session, headers=headers, checks=CHECKS, timeout=20
                )

            varied = settings(
                max_examples=examples,
                derandomize=MANY not in os.environ,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            try:
                varied(given(case=operation.as_strategy(generation_mode=mode))(check))()
            except Unsatisfiable:
                # Where nothing is asked for, nothing can be wrong.
                continue
            except (Failure, FailureGroup, requests.RequestException) as error:
                problems.append(
                    f"{operation.label}: {error!r} {[str(each) for each in getattr(error, 'exceptions', ())]}"
                )
    return problems


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("sqlite", GenerationMode.NEGATIVE),
        ("postgres", GenerationMode.POSITIVE),
        pytest.param("sqlite", GenerationMode.POSITIVE, marks=ONLY_WHEN_ASKED),
        pytest.param("postgres", GenerationMode.NEGATIVE, marks=ONLY_WHEN_ASKED),
    ],
)
def test_whatever_an_administrator_sends_is_answered_as_the_document_says(
    request: pytest.FixtureRequest, kind: str, mode: GenerationMode
) -> None:
    with serving(request.getfixturevalue(f"{kind}_url")) as served:
        problems = fuzz(served, {"authorization": f"Bearer {served.token.text}"}, mode, EXAMPLES)

    assert not problems, "\n\n".join(problems)


def test_whatever_a_stranger_sends_is_answered_as_the_document_says(sqlite_url: str) -> None:
    with serving(sqlite_url) as served:
        problems = fuzz(served, {}, GenerationMode.POSITIVE, max(1, EXAMPLES // 4))

    assert not problems, "\n\n".join(problems)
