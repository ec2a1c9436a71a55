"""The people of a world with pipelines: they begin, abort and retry them, and answer what they are asked."""

import asyncio
import random
from functools import partial

from sqlalchemy import Connection, select

from orchestra.commands.approvals import Approvals
from orchestra.commands.triggers import Repetition, RetryRequest
from orchestra.elements import Verdict
from orchestra.errors import Conflict, StorageError
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunState
from orchestra.pipeline.states import ElementState
from orchestra.policy import Principal
from orchestra.storage.database import Database
from orchestra.storage.tables import pipeline_elements, runs
from tests.simulation.client import RETRY_SECONDS, Client
from tests.simulation.truth import Request, Truth

PATIENCE_SECONDS = 60.0
"""How long somebody waits for the end of a pipeline that is to be retried."""
LOOK_SECONDS = 3.0


def verdict_of(seed: int, run: int, element: str) -> Verdict:
    """What everybody says to this approval, so that it does not matter who is heard."""
    return Verdict.REJECT if random.Random(f"{seed} {run} {element}").random() < 0.3 else Verdict.APPROVE


class PipelinePeople:
    """Ask over the production commands, again and again until there is an answer."""

    def __init__(
        self,
        *,
        client: Client,
        approvals: Approvals,
        database: Database,
        who: Principal,
        truth: Truth,
        seed: int,
    ) -> None:
        self._client = client
        self._approvals = approvals
        self._database = database
        self._who = who
        self._truth = truth
        self._seed = seed
        self._chance = random.Random(f"pipeline people {seed}")

    async def work(self, job: str, active_seconds: float) -> None:
        """Begins a pipeline, perhaps aborts it in its midst, and retries it once or twice."""
        chance = self._chance
        run = await self._client.create(active_seconds * 0.7 * chance.random(), job)
        for _ in range(chance.choice((0, 1, 1, 2))):
            if chance.random() < 0.35:
                await self._client.abort(run, chance.choice((0.5, 5.0, 20.0)) * chance.random())
            if not await self._is_over(run):
                return
            run = await self._retry(run)

    async def answer(self) -> None:
        """Answers approvals, for ever: some at once, some late."""
        while True:
            await asyncio.sleep(LOOK_SECONDS * (0.3 + self._chance.random()))
            try:
                asked = await self._database.read(_waiting)
            except StorageError:
                continue
            for run, element in asked:
                if self._chance.random() < 0.4:
                    await self._say(run, element)

    async def _say(self, run: RunId, element: str) -> None:
        verdict = verdict_of(self._seed, run, element)
        while True:
            try:
                await self._approvals.answer(self._who, run, element, verdict, reason="")
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            except Conflict:
                return
            else:
                self._truth.fault("approval answered")
                return

    async def _is_over(self, run: RunId) -> bool:
        for _ in range(round(PATIENCE_SECONDS / LOOK_SECONDS)):
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if await self._database.read(partial(_has_ended, run=run)):
                    return True
            except StorageError:
                continue
        return False

    async def _retry(self, run: RunId) -> RunId:
        chance, truth = self._chance, self._truth
        request = Request(key=f"key-{len(truth.requests)}", job=f"retry of #{run}")
        truth.requests.append(request)
        is_from, failed_only = chance.random() < 0.3, chance.random() < 0.7
        wish = RetryRequest(from_element="e1") if is_from else RetryRequest(failed_only=failed_only)
        again = 1 + (chance.random() < 0.3)
        while len(request.answers) < again:
            try:
                made = await self._client.triggers.retry(
                    self._who, run, wish, Repetition(key=request.key, request_digest=repr(wish))
                )
            except StorageError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                request.answers.append(made.run)
        truth.fault("pipeline retried")
        return RunId(request.answers[0])


def _waiting(connection: Connection) -> list[tuple[RunId, str]]:
    columns = pipeline_elements.c
    rows = connection.execute(
        select(columns.run_id, columns.element)
        .join(runs, runs.c.id == columns.run_id)
        .where(columns.state == ElementState.WAITING, runs.c.state == RunState.RUNNING)
        .order_by(columns.run_id, columns.element)
    )
    return [(RunId(row.run_id), row.element) for row in rows]


def _has_ended(connection: Connection, run: RunId) -> bool:
    return connection.execute(select(runs.c.ended_at).where(runs.c.id == run)).scalar_one() is not None
