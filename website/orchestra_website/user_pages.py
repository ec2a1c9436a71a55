"""Users: all of them, one with roles and tokens, making one, and links by which they sign in once."""

from urllib.parse import quote

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.commands.accounts import LinkRequest, MadeLink, UserChange, UserRequest
from orchestra.errors import BadName, Conflict, InvalidFields
from orchestra.policy import GLOBAL_ROLES, Role
from orchestra.queries.people import RoleView, TokenView, UserView, list_tokens, list_users, show_user
from orchestra.queries.rights import PermissionView, permissions_of
from orchestra.storage.paging import Page, PageAsked
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.form import Form
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

Problems = list[tuple[str, str]]
_TOKENS_SHOWN_MAX = 100


class UserPages:
    """The handlers for users."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._accounts = parts.accounts
        self._authenticator = parts.authenticator

    @property
    def handlers(self) -> Handlers:
        """By method and path. A user may be called `add`, so making one has a path of its own."""
        return {
            ("GET", "/admin/users"): self.list,
            ("GET", "/admin/add-user"): self.ask_add,
            ("POST", "/admin/add-user"): self.add,
            ("GET", "/admin/users/{user}"): self.show,
            ("POST", "/admin/users/{user}/roles"): self.set_roles,
            ("GET", "/admin/users/{user}/disable"): self.ask_disable,
            ("POST", "/admin/users/{user}/disable"): self.disable,
            ("POST", "/admin/users/{user}/enable"): self.enable,
            ("GET", "/admin/users/{user}/link"): self.ask_link,
            ("POST", "/admin/users/{user}/link"): self.make_link,
        }

    async def list(self, asking: Asking) -> Response:
        """A page of users."""
        page = asking.page()
        found = await self._database.read(lambda connection: list_users(connection, page))
        return await self._renderer.page(asking, "users.html", {"found": found, "asked": {}})

    async def ask_add(self, asking: Asking) -> Response:
        """The form for a user."""
        asking.query()
        return await self._renderer.page(asking, "user_add.html", {"name": "", "chosen": _Chosen(), "problems": []})

    async def add(self, asking: Asking) -> Response:
        """Makes the user, and a link that is shown once."""
        form = asking.form()
        name, chosen, problems = form.text("name"), _Chosen(form), []
        try:
            made = await self._accounts.create_user(asking.who, UserRequest(name=name, roles=chosen.roles()))
            link = await self._accounts.make_link(asking.who, made.name, LinkRequest())
            return await self._link_page(asking, link, is_new=True)
        except InvalidFields as error:
            problems = _at_roles(error)
        except (BadName, Conflict) as error:
            problems = [("name", str(error))]
        values = {"name": name, "chosen": chosen, "problems": problems}
        return await self._renderer.page(asking, "user_add.html", values, status=422)

    async def show(self, asking: Asking) -> Response:
        """One user: roles, what they allow, tokens."""
        done = asking.query("done").get("done", "")
        return await self._page(asking, done=done)

    async def set_roles(self, asking: Asking) -> Response:
        """Gives the user exactly the roles that were ticked."""
        chosen = _Chosen(asking.form())
        try:
            await self._accounts.change_user(asking.who, asking.path("user"), UserChange(roles=chosen.roles()))
        except InvalidFields as error:
            return await self._page(asking, chosen=chosen, problems=_at_roles(error), status=422)
        except Conflict as error:
            return await self._page(asking, chosen=chosen, problems=[("roles", str(error))], status=409)
        return self._back(asking, "roles")

    async def ask_disable(self, asking: Asking) -> Response:
        """The page before: what ends with it."""
        asking.query()
        return await self._page(asking, template="user_disable.html")

    async def disable(self, asking: Asking) -> Response:
        """Takes all power from the user at once."""
        try:
            await self._accounts.change_user(asking.who, asking.path("user"), UserChange(enabled=False))
        except Conflict as error:
            problems = [("", str(error))]
            return await self._page(asking, template="user_disable.html", problems=problems, status=409)
        return self._back(asking, "disabled")

    async def enable(self, asking: Asking) -> Response:
        """Gives the user everything back, but for the sessions."""
        await self._accounts.change_user(asking.who, asking.path("user"), UserChange(enabled=True))
        return self._back(asking, "enabled")

    async def ask_link(self, asking: Asking) -> Response:
        """The page before a link is made: to sign in once, or to reset the password too."""
        asking.query()
        return await self._page(asking, template="user_link.html")

    async def make_link(self, asking: Asking) -> Response:
        """Makes the link and shows it once."""
        reset = asking.form().text("reset") == "yes"
        try:
            link = await self._accounts.make_link(asking.who, asking.path("user"), LinkRequest(reset=reset))
        except Conflict as error:
            problems = [("", str(error))]
            return await self._page(asking, template="user_link.html", problems=problems, status=409)
        self._authenticator.forget()
        return await self._link_page(asking, link, is_new=False)

    async def _link_page(self, asking: Asking, link: MadeLink, *, is_new: bool) -> Response:
        address = f"{str(asking.request.base_url).rstrip('/')}{link.path}"
        values = {"link": link, "address": address, "is_new": is_new}
        return await self._renderer.page(asking, "user_link_made.html", values, headers=NO_STORE)

    def _back(self, asking: Asking, done: str) -> Response:
        self._authenticator.forget()
        address = f"/admin/users/{quote(asking.path('user'), safe='')}?done={done}"
        return RedirectResponse(address, status_code=303, headers=NO_STORE)

    async def _page(
        self,
        asking: Asking,
        *,
        template: str = "user.html",
        chosen: "_Chosen | None" = None,
        problems: Problems | None = None,
        done: str = "",
        status: int = 200,
    ) -> Response:
        name, now = asking.path("user"), self._clock.now()
        asked = PageAsked(limit=_TOKENS_SHOWN_MAX)

        def read(connection: Connection) -> tuple[UserView, list[PermissionView], Page[TokenView]]:
            return (
                show_user(connection, name),
                list(permissions_of(connection, name)),
                list_tokens(connection, asking.who, asked, user=name, valid_at=now),
            )

        user, permissions, tokens = await self._database.read(read)
        values = {
            "user": user,
            "permissions": permissions,
            "tokens": tokens,
            "chosen": chosen or _Chosen.of(user),
            "problems": problems or [],
            "done": done,
        }
        return await self._renderer.page(
            asking, template, values, status=status, headers=NO_STORE if tokens.items else None
        )


class _Chosen:
    """The roles as a form has them: boxes for those in every project, lines for those in single ones."""

    def __init__(self, form: Form | None = None) -> None:
        self.everywhere = () if form is None else form.all("role")
        self.single = "" if form is None else form.raw("single")
        self.all_roles = tuple(Role)
        self.global_roles = GLOBAL_ROLES

    @classmethod
    def of(cls, user: UserView) -> "_Chosen":
        """As the user has them."""
        chosen = cls()
        chosen.everywhere = tuple(str(each.role) for each in user.roles if each.project is None)
        chosen.single = "\n".join(f"{each.role}@{each.project}" for each in user.roles if each.project is not None)
        return chosen

    def roles(self) -> tuple[RoleView, ...]:
        """What was chosen; raises InvalidFields."""
        problems, roles = [], []
        for word in self.everywhere:
            if word not in Role.__members__.values():
                problems.append(("/roles", f"{word[:40]!r} is no role"))
                continue
            roles.append(RoleView(role=Role(word)))
        for line in filter(None, (line.strip() for line in self.single.splitlines())):
            word, mark, project = line.partition("@")
            if not mark or not project or word not in Role.__members__.values():
                problems.append(("/single", f"{line[:60]!r} is no role in a project: write such as operator@ops"))
                continue
            roles.append(RoleView(role=Role(word), project=project))
        if problems:
            raise InvalidFields(problems)
        return tuple(roles)


def _at_roles(error: InvalidFields) -> Problems:
    """The problems at the fields that this form has."""
    return [("single" if name.endswith("/project") else name, text) for name, text in error.by_field]
