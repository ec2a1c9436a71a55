"""One request as it is, without the client's second tries: its status, how long it took, and what it made."""

import http.client
import json
import secrets
import time
from dataclasses import dataclass

from orchestra.configuration import read_token_file
from orchestra.network.client import API
from tests.support.journey import Instance

ANSWER_SECONDS_MAX = 60.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a request went."""

    status: int
    seconds: float
    run: int | None = None
    """The run that a trigger has made."""
    key: str = ""
    """Of the trigger, by which it may be repeated."""


def read(instance: Instance, path: str) -> Asked:
    """Asks for something below the API."""
    return _ask(instance, "GET", f"{API}{path}", None, {})


def trigger(instance: Instance, job: str, parameters: dict[str, object], *, key: str | None = None) -> Asked:
    """Triggers `project/job`, or repeats a trigger by its key."""
    project, _, name = job.partition("/")
    key = key or secrets.token_hex(16)
    body = json.dumps({"parameters": parameters}).encode()
    return _ask(instance, "POST", f"{API}/projects/{project}/jobs/{name}/runs", body, {"Idempotency-Key": key})


def _ask(instance: Instance, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Asked:
    token = read_token_file(instance.data / "admin.token")
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=ANSWER_SECONDS_MAX)
    try:
        headers = {**headers, "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    made = json.loads(content) if method == "POST" and response.status < 300 else {}
    return Asked(
        status=response.status,
        seconds=time.monotonic() - began,
        run=made.get("id"),
        key=headers.get("Idempotency-Key", ""),
    )
