"""The own account over HTTP: zone, sessions, what one did."""

from starlette.responses import Response

from orchestra.commands.profile import ProfileChange
from orchestra.errors import InvalidFields
from orchestra.queries.addresses import API
from orchestra.queries.audit import AuditView, list_own_actions, read_audit_filter
from orchestra.queries.people import MeView, SessionDetail, list_sessions, show_me_now
from orchestra.storage.paging import Page, whole
from orchestra.web.answers import empty_answer, json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_service.operation import PAGE, Operation


class ProfileRoutes:
    """The handlers for what everybody may do to the own account."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._profile = parts.profile
        self._authenticator = parts.authenticator

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("PATCH", f"{API}/me"): Operation(self.change, takes=ProfileChange, answers=MeView),
            ("GET", f"{API}/me/sessions"): Operation(self.sessions, answers=Page[SessionDetail]),
            ("DELETE", f"{API}/me/sessions"): Operation(self.end_all, status=204),
            ("DELETE", f"{API}/me/sessions/{{session}}"): Operation(self.end, status=204),
            ("GET", f"{API}/me/actions"): Operation(self.actions, answers=Page[AuditView], query=PAGE),
        }

    async def change(self, asking: Asking) -> Response:
        """Changes the own profile."""
        asking.query()
        await self._profile.change(asking.who, asking.decode(ProfileChange))
        self._authenticator.forget()
        return json_answer(await self._database.read(lambda connection: show_me_now(connection, asking.who)))

    async def sessions(self, asking: Asking) -> Response:
        """The own sessions, newest first."""
        asking.query()
        now = self._clock.now()
        found = await self._database.read(lambda connection: list_sessions(connection, asking.who, now=now))
        return json_answer(whole(found))

    async def end(self, asking: Asking) -> Response:
        """Ends one of the own sessions."""
        asking.query()
        await self._profile.end_session(asking.who, asking.session())
        self._authenticator.forget()
        return empty_answer()

    async def end_all(self, asking: Asking) -> Response:
        """Signs out everywhere."""
        asking.query()
        await self._profile.end_all_sessions(asking.who)
        self._authenticator.forget()
        return empty_answer()

    async def actions(self, asking: Asking) -> Response:
        """What oneself did, newest first."""
        asking.query("limit", "cursor")
        try:
            wanted = read_audit_filter(asking.request.query_params.multi_items())
        except InvalidFields as error:
            raise BadQuery(error.problems) from None
        return json_answer(
            await self._database.read(lambda connection: list_own_actions(connection, asking.who, wanted))
        )
