"""Elements that run jobs of other projects: looked for when a definition is applied, all of it or nothing."""

from functools import partial

import pytest
from sqlalchemy import Connection, func, select

from orchestra.commands.definitions import apply_definition, plan
from orchestra.commands.element_jobs import ElementJobsRefused
from orchestra.definition.reader import read_definition
from orchestra.errors import NotFound
from orchestra.identifiers import ProjectId, UserId
from orchestra.policy import Grant, Principal, Role, scopes_of
from orchestra.storage.database import Database
from orchestra.storage.jobs import find_job
from orchestra.storage.projects import find_project
from orchestra.storage.tables import projects
from tests.support.clocks import START

TOOLS = """orchestra: 1
project: tools
jobs:
  clean:
    run: ./clean.sh
    parameters: { depth: { type: integer, required: true }, key: { type: secret } }
  signed: { run: ./sign.sh, parameters: { key: { type: secret, required: true } } }
  watched: { wrapped: true }
"""
SHOP = """orchestra: 1
project: shop
jobs:
  build: { run: make }
  release: { elements: { build: {}, away: ELEMENT } }
"""
CLEAN = "{ job: tools/clean, with: { depth: 2 } }"


def shop(element: str) -> str:
    """A project with a pipeline that has this element."""
    return SHOP.replace("ELEMENT", element)


async def applied(database: Database, text: str, who: Principal | None = None) -> None:
    """Applies the text."""
    definition = read_definition(text, "a.yaml")
    await database.write(
        partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=START, who=who)
    )


async def person(database: Database, *roles: tuple[Role, str]) -> Principal:
    """Somebody with these roles, each in one project."""

    def grants(connection: Connection) -> tuple[Grant, ...]:
        found: list[ProjectId] = [find_project(connection, project).id for _, project in roles]
        return tuple(Grant(role=role, project_id=of) for (role, _), of in zip(roles, found, strict=True))

    return Principal(user_id=UserId(1), name="ana", scopes=scopes_of(await database.read(grants)))


async def refusals(database: Database, text: str, who: Principal | None = None) -> list[tuple[str, str]]:
    """Why the definition is refused."""
    with pytest.raises(ElementJobsRefused) as refused:
        await applied(database, text, who)
    return list(refused.value.problems)


async def test_a_job_of_another_project_that_fits_is_accepted(database: Database) -> None:
    await applied(database, TOOLS)

    await applied(database, shop(CLEAN))

    assert (await database.read(lambda c: find_job(c, "shop", "release"))).specification.pipeline is not None


@pytest.mark.parametrize(
    ("element", "pointer", "sentence"),
    [
        (
            "{ job: tools/claen }",
            "/job",
            "names the unknown job `tools/claen`: apply the definition that has it first",
        ),
        ("{ job: other/clean }", "/job", "names the unknown job `other/clean`: apply the definition that has it first"),
        (
            "{ job: tools/clean }",
            "/with",
            "gives no value for the parameter `depth`, which the job `tools/clean` requires: "
            "add `with: { depth: … }`, or a default to the job",
        ),
        (
            "{ job: tools/clean, with: { depth: deep } }",
            "/with/depth",
            'must be a whole number, got "deep": correct the value',
        ),
        (
            "{ job: tools/clean, with: { depth: 1, dpeth: 1 } }",
            "/with/dpeth",
            "is no parameter of the job `tools/clean`: did you mean `depth`?",
        ),
        (
            "{ job: tools/signed }",
            "/job",
            "needs the secret `key` for the job `tools/signed`, which the pipeline does not have: "
            "add `parameters: { key: { type: secret, required: true } }` to the pipeline",
        ),
        (
            "{ job: tools/watched }",
            "/job",
            "names the job `tools/watched`, which only something else can start (`wrapped`): name another",
        ),
    ],
)
async def test_one_that_does_not_fit_is_refused(database: Database, element: str, pointer: str, sentence: str) -> None:
    await applied(database, TOOLS)

    assert await refusals(database, shop(element)) == [(f"/jobs/release/elements/away{pointer}", sentence)]


async def test_nothing_of_a_refused_definition_is_applied(database: Database) -> None:
    with pytest.raises(ElementJobsRefused):
        await applied(database, shop("{ job: tools/clean }"))

    assert await database.read(lambda c: c.execute(select(func.count()).select_from(projects)).scalar_one()) == 0
    with pytest.raises(NotFound):
        await database.read(lambda c: find_job(c, "shop", "build"))


async def test_a_plan_refuses_what_applying_would(database: Database) -> None:
    definition = read_definition(shop(CLEAN), "a.yaml")

    with pytest.raises(ElementJobsRefused, match="names the unknown job `tools/clean`"):
        await database.read(lambda c: plan(c, definition, START))


async def test_a_retired_job_is_refused(database: Database) -> None:
    await applied(database, TOOLS)
    await applied(database, "orchestra: 1\nproject: tools\njobs: {}\n")

    ((_, sentence),) = await refusals(database, shop(CLEAN))

    assert sentence == "names the job `tools/clean`, which no definition has any more: name another one"


async def test_who_may_not_run_a_job_cannot_let_a_pipeline_run_it(database: Database) -> None:
    await applied(database, TOOLS)
    await applied(database, "orchestra: 1\nproject: shop\njobs: {}\n")
    stranger = await person(database, (Role.OPERATOR, "shop"))
    viewer = await person(database, (Role.OPERATOR, "shop"), (Role.VIEWER, "tools"))
    operator = await person(database, (Role.OPERATOR, "shop"), (Role.OPERATOR, "tools"))

    ((_, unseen),) = await refusals(database, shop(CLEAN), stranger)
    ((_, seen),) = await refusals(database, shop(CLEAN), viewer)
    await applied(database, shop(CLEAN), operator)

    assert unseen == "names the unknown job `tools/clean`: apply the definition that has it first"
    assert seen == "names the job `tools/clean`, which you may not run: ask for a role in its project"


async def test_pipelines_that_contain_each_other_across_projects_are_refused_with_the_path(database: Database) -> None:
    await applied(database, "orchestra: 1\nproject: shop\njobs: { release: { run: make } }\n")
    outer = "orchestra: 1\nproject: tools\njobs: { outer: { elements: { in: { job: shop/release } } } }\n"
    await applied(database, outer)

    found = await refusals(database, shop("{ job: tools/outer }"))

    assert found == [
        (
            "/jobs/release",
            "makes the pipeline contain itself, by `tools/outer`: "
            "shop/release → tools/outer → shop/release: break the circle",
        )
    ]
