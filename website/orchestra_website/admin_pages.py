"""Administration: whether the installation is well, what each role is trusted with, and who did what."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import Response

from orchestra.errors import InvalidFields, StorageError
from orchestra.limits import HEALTH_CHECK_SECONDS_MAX
from orchestra.policy import Permission
from orchestra.queries.audit import FILTERS, AuditView, actions_known, list_audit, read_audit_filter
from orchestra.queries.health import (
    BAD,
    GOOD,
    WARNING,
    Check,
    check_fleet,
    check_schema,
    check_sign_ins,
    check_waiting,
    newest_log,
)
from orchestra.queries.rights import list_roles, word_of
from orchestra.storage.paging import Page
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer


class AdminPages:
    """The handlers for those who look after the installation."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._logs = parts.logs

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/admin"): self.show,
            ("GET", "/admin/roles"): self.roles,
            ("GET", "/admin/audit"): self.audit,
        }

    async def show(self, asking: Asking) -> Response:
        """What there is to administer, and the checks; a failing one never breaks the page."""
        asking.query()
        now = self._clock.now()
        checks = [
            await self._check("Schema", check_schema),
            await self._check("Workers", lambda connection: check_fleet(connection, now=now)),
            await self._check("Queue", lambda connection: check_waiting(connection, now=now)),
            await self._check("Sign-ins", lambda connection: check_sign_ins(connection, now=now)),
            await self._check_logs(),
        ]
        return await self._renderer.page(asking, "admin.html", {"checks": checks})

    async def roles(self, asking: Asking) -> Response:
        """The matrix of roles and permissions, as the policy has it."""
        asking.query()
        permissions = [(word_of(each), each.value) for each in Permission]
        return await self._renderer.page(asking, "roles.html", {"roles": list_roles(), "permissions": permissions})

    async def audit(self, asking: Asking) -> Response:
        """A page of the audit, by the same filters as in the API; a bad one is told above the form."""
        # A form sends every field that it has: an empty one asks for nothing.
        pairs = [(name, value.strip()) for name, value in asking.request.query_params.multi_items() if value.strip()]
        values: dict[str, object] = {"asked": {name: value for name, value in pairs if name != "cursor"}}
        try:
            wanted = read_audit_filter(pairs, zone=self._renderer.zone_of(asking.who_if_known))
        except InvalidFields as error:
            problems = error.by_field
            known = await self._database.read(lambda connection: actions_known(connection, asking.who))
            values |= {"found": None, "actions": known, "problems": problems}
            return await self._renderer.page(asking, "audit.html", values, status=400)

        def read(connection: Connection) -> tuple[Page[AuditView], list[str]]:
            return list_audit(connection, asking.who, wanted), list(actions_known(connection, asking.who))

        found, known = await self._database.read(read)
        kept = {name: value for name, value in pairs if name in FILTERS}
        values |= {"found": found, "actions": known, "problems": (), "csv": urlencode({**kept, "format": "csv"})}
        return await self._renderer.page(asking, "audit.html", values)

    async def _check(self, name: str, look: Callable[[Connection], Check]) -> Check:
        try:
            return await asyncio.wait_for(self._database.read(look), HEALTH_CHECK_SECONDS_MAX)
        except TimeoutError:
            words = f"no answer in {HEALTH_CHECK_SECONDS_MAX:.0f} s"
            return Check(name=name, state=BAD, words=words, remedy="The database is slow or away: look at it first.")
        except StorageError as error:
            return Check(name=name, state=BAD, words=str(error))

    async def _check_logs(self) -> Check:
        name = "Logs"
        try:
            newest = await asyncio.wait_for(self._database.read(newest_log), HEALTH_CHECK_SECONDS_MAX)
            if newest is None:
                return Check(name=name, state=GOOD, words="no run has written one yet")
            reading = asyncio.to_thread(self._logs.read, *newest, 0, 1)
            if await asyncio.wait_for(reading, HEALTH_CHECK_SECONDS_MAX):
                return Check(name=name, state=GOOD, words=f"the newest, of run #{newest[0]}, can be read here")
        except (TimeoutError, OSError, StorageError) as error:
            return Check(name=name, state=WARNING, words=f"cannot be read: {error or 'no answer'}")
        words = f"the newest, of run #{newest[0]}, is not here"
        return Check(name=name, state=BAD, words=words, remedy="Mount the folder in which the masters keep logs.")
