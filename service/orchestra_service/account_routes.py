"""Users, tokens and sessions over HTTP."""

from datetime import datetime

import msgspec
from starlette.responses import Response

from orchestra.commands.accounts import LinkRequest, MadeLink, UserChange, UserRequest
from orchestra.commands.tokens import MadeToken, TokenRequest
from orchestra.errors import InvalidFields
from orchestra.queries.addresses import API, moment
from orchestra.queries.people import MeView, TokenView, UserView, list_tokens, list_users, show_me, show_user
from orchestra.queries.rights import PermissionView, RolePermissionsView, list_roles, permissions_of
from orchestra.storage.paging import Page, whole
from orchestra.web.answers import NO_STORE, empty_answer, json_answer
from orchestra.web.asking import Asking
from orchestra.web.authentication import comes_from_another_site, origin_of
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import CrossSite
from orchestra.web.parts import WebParts
from orchestra_service.operation import PAGE, Operation


class SignInRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name and password, or the secret of a link."""

    name: str | None = None
    password: str | None = None
    link: str | None = None


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has just begun; its secret is in the cookie alone."""

    user: str
    expires_at: datetime


class AccountRoutes:
    """The handlers for who people are and what they may show to prove it."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._accounts = parts.accounts
        self._tokens = parts.tokens
        self._sign_in = parts.sign_in
        self._authenticator = parts.authenticator
        self._cookie = parts.cookie

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("POST", f"{API}/sign-in"): Operation(
                self.sign_in, takes=SignInRequest, answers=SessionView, also=(401, 403, 429)
            ),
            ("POST", f"{API}/sign-out"): Operation(self.sign_out, status=204),
            ("GET", f"{API}/me"): Operation(self.me, answers=MeView),
            ("GET", f"{API}/users"): Operation(self.users, answers=Page[UserView], query=PAGE),
            ("POST", f"{API}/users"): Operation(
                self.create_user, takes=UserRequest, answers=UserView, status=201, also=(404, 409, 429)
            ),
            ("PATCH", f"{API}/users/{{user}}"): Operation(
                self.change_user, takes=UserChange, answers=UserView, also=(409, 429)
            ),
            ("GET", f"{API}/users/{{user}}"): Operation(self.user, answers=UserView),
            ("GET", f"{API}/users/{{user}}/permissions"): Operation(self.permissions, answers=Page[PermissionView]),
            ("POST", f"{API}/users/{{user}}/link"): Operation(
                self.make_link, takes=LinkRequest, answers=MadeLink, status=201, also=(409,)
            ),
            ("GET", f"{API}/roles"): Operation(self.roles, answers=Page[RolePermissionsView]),
            ("GET", f"{API}/tokens"): Operation(self.tokens, answers=Page[TokenView], query=PAGE),
            ("POST", f"{API}/tokens"): Operation(
                self.create_token, takes=TokenRequest, answers=MadeToken, status=201, also=(404, 409)
            ),
            ("DELETE", f"{API}/tokens/{{token}}"): Operation(self.revoke_token, status=204),
        }

    async def sign_in(self, asking: Asking) -> Response:
        """Begins a session, whose secret only the cookie has."""
        asking.query()
        if comes_from_another_site(asking.request):
            raise CrossSite
        wanted, origin = asking.decode(SignInRequest), origin_of(asking.request, self._cookie.name)
        match wanted:
            case SignInRequest(link=None, name=str(name), password=str(password)):
                session = await self._sign_in.by_password(name, password, origin)
            case SignInRequest(link=str(link), name=None, password=None):
                session = await self._sign_in.by_link(link, origin)
            case _:
                raise InvalidFields([("", "give name and password, or link alone")])
        answer = SessionView(user=session.user, expires_at=moment(session.expires_at))
        response = json_answer(answer, headers=NO_STORE)
        self._cookie.give(response, session.secret.text)
        return response

    async def sign_out(self, asking: Asking) -> Response:
        """Ends the session; a token stays what it is."""
        asking.query()
        if asking.who.session_digest is not None:
            await self._sign_in.out(asking.who)
            self._authenticator.forget()
        response = empty_answer()
        self._cookie.take_back(response)
        return response

    async def me(self, asking: Asking) -> Response:
        """Who asks."""
        asking.query()
        return json_answer(show_me(asking.who))

    async def users(self, asking: Asking) -> Response:
        """A page of users."""
        page = asking.page()
        return json_answer(await self._database.read(lambda connection: list_users(connection, page)))

    async def create_user(self, asking: Asking) -> Response:
        """Makes a user."""
        asking.query()
        made = await self._accounts.create_user(asking.who, asking.decode(UserRequest))
        return json_answer(made, status=201)

    async def change_user(self, asking: Asking) -> Response:
        """Changes a user."""
        asking.query()
        changed = await self._accounts.change_user(asking.who, asking.path("user"), asking.decode(UserChange))
        self._authenticator.forget()
        return json_answer(changed)

    async def user(self, asking: Asking) -> Response:
        """One user."""
        asking.query()
        name = asking.path("user")
        return json_answer(await self._database.read(lambda connection: show_user(connection, name)))

    async def permissions(self, asking: Asking) -> Response:
        """What a user may do, where, and by which roles."""
        asking.query()
        name = asking.path("user")
        found = await self._database.read(lambda connection: permissions_of(connection, name))
        return json_answer(whole(found))

    async def make_link(self, asking: Asking) -> Response:
        """Makes a link by which a user signs in once; this answer is the only one with it."""
        asking.query()
        made = await self._accounts.make_link(asking.who, asking.path("user"), asking.decode(LinkRequest))
        self._authenticator.forget()
        return json_answer(made, status=201, headers=NO_STORE)

    async def roles(self, asking: Asking) -> Response:
        """The roles and what each is trusted with."""
        asking.query()
        return json_answer(whole(list_roles()))

    async def tokens(self, asking: Asking) -> Response:
        """A page of tokens."""
        page = asking.page()
        return json_answer(
            await self._database.read(lambda connection: list_tokens(connection, asking.who, page)), headers=NO_STORE
        )

    async def create_token(self, asking: Asking) -> Response:
        """Makes a token; this answer is the only one with its secret."""
        asking.query()
        made = await self._tokens.create(asking.who, asking.decode(TokenRequest))
        return json_answer(made, status=201, headers=NO_STORE)

    async def revoke_token(self, asking: Asking) -> Response:
        """Takes a token's power away."""
        asking.query()
        await self._tokens.revoke(asking.who, asking.token())
        self._authenticator.forget()
        return empty_answer()
