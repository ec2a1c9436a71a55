"""One request, as handlers see it: who asks, the query and the body, each checked when it is read."""

import re
from collections.abc import Collection, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from orchestra.commands.triggers import Repetition
from orchestra.errors import InvalidFields, NotFound
from orchestra.identifiers import AttemptNumber, RunId, TokenId
from orchestra.limits import FORM_FIELDS_MAX, IDEMPOTENCY_KEY_CHARACTERS_MAX
from orchestra.policy import Principal
from orchestra.sealing import Sealing
from orchestra.storage.paging import PageAsked, read_page_asked
from orchestra.web.errors import BadQuery, BadRequest
from orchestra.web.form import Form

T = TypeVar("T")
_FORM_TYPE = "application/x-www-form-urlencoded"
_WHERE = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_INDEX = re.compile(r"\[(\d+)\]", re.ASCII)
_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)


class Asking:
    """A request whose sender is known and whose body is whole."""

    def __init__(self, *, request: Request, who: Principal | None, body: bytes) -> None:
        self.request = request
        self.body = body
        self._who = who

    @property
    def who(self) -> Principal:
        """Who asks; only for routes that are not open to all."""
        assert self._who is not None, "this route is open to all"
        return self._who

    @property
    def who_if_known(self) -> Principal | None:
        """Who asks, or None on a route that is open to all."""
        return self._who

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def run(self) -> RunId:
        """The run that the path names; raises NotFound for what is no number."""
        return RunId(self._number("run"))

    def attempt(self) -> AttemptNumber:
        """The attempt that the path names; raises NotFound."""
        return AttemptNumber(self._number("attempt"))

    def token(self) -> TokenId:
        """The token that the path names; raises NotFound."""
        return TokenId(self._number("token"))

    def session(self) -> int:
        """The session that the path names; raises NotFound."""
        return self._number("session")

    def decode(self, form: type[T]) -> T:
        """The body in this form; an empty body is an empty object. Raises InvalidFields, and BadRequest for no JSON."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=form)
        except msgspec.ValidationError as error:
            raise InvalidFields([_pointed(str(error))]) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"the body is no JSON: {error}") from None
        except RecursionError:
            raise BadRequest("the body is nested too deeply") from None

    def query(self, *allowed: str) -> dict[str, str]:
        """The query parameters, each at most once; raises BadQuery for one that this route does not have."""
        found: dict[str, str] = {}
        problems = []
        for name, value in self.request.query_params.multi_items():
            if name not in allowed:
                problems.append((f"/{name}", _unknown(allowed)))
            elif name in found:
                problems.append((f"/{name}", "may be given once"))
            found[name] = value
        if problems:
            raise BadQuery(problems)
        return found

    def form(self) -> Form:
        """The body as the fields of a form; raises BadRequest."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.body and kind != _FORM_TYPE:
            raise BadRequest(f"a form is sent as {_FORM_TYPE}")
        try:
            pairs = parse_qsl(
                self.body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX
            )
        except ValueError as error:
            raise BadRequest(f"the form cannot be read: {error}") from None
        return Form(pairs)

    def page(self, *others: str) -> PageAsked:
        """The page that is asked for; raises BadQuery, for parameters too that are neither of a page nor `others`."""
        query = self.query("limit", "cursor", *others)
        try:
            return read_page_asked(query)
        except InvalidFields as error:
            raise BadQuery(error.problems) from None

    def repetition(self, sealing: Sealing, *, form_key: str = "") -> Repetition | None:
        """The idempotency key of the request, or the hidden one of its form, if it has one; raises BadRequest."""
        key = f"form-{form_key}" if form_key else self.request.headers.get("idempotency-key")
        if key is None:
            return None
        if not key or len(key) > IDEMPOTENCY_KEY_CHARACTERS_MAX:
            raise BadRequest(f"an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters")
        # Keyed, because the body may hold a secret that could be guessed from a plain digest.
        what = f"{self.request.method} {self.request.scope['path']}\n".encode() + self.body
        return Repetition(key=key, request_digest=sealing.fingerprint(what))

    def _number(self, name: str) -> int:
        text = self.path(name)
        if not _NUMBER.fullmatch(text):
            raise NotFound(name, text[:40])
        return int(text)


def number_asked(query: Mapping[str, str], name: str, *, least: int = 1, most: int | None = None) -> int | None:
    """A whole number of the query, None if it is not given; raises BadQuery."""
    text = query.get(name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text) or int(text) < least or (most is not None and int(text) > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise BadQuery([(f"/{name}", f"must be a whole number {bounds}")])
    return int(text)


def _unknown(allowed: Collection[str]) -> str:
    return f"is unknown here: use {', '.join(allowed)}" if allowed else "is unknown here: this path takes no parameters"


def _pointed(message: str) -> tuple[str, str]:
    """msgspec's "… - at `$.a[0]`" as a JSON pointer and a sentence."""
    found = _WHERE.search(message)
    sentence = message if found is None else message[: found.start()]
    pointer = "" if found is None else _INDEX.sub(r"/\1", found["path"].replace("[...]", "").replace(".", "/"))
    field = _FIELD.fullmatch(sentence)
    if field is not None:
        return f"{pointer}/{field[2]}", "is missing" if field[1] == "missing required" else "is unknown here"
    return pointer, sentence[:1].lower() + sentence[1:]
