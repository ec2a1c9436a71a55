"""Sends runs that were claimed to their workers as offers, and takes back what cannot be offered."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from orchestra.errors import OrchestraError
from orchestra.lifecycle import RunEvent, RunState
from orchestra.limits import FRAME_BYTES_MAX
from orchestra.protocol.codec import frame_bytes
from orchestra.protocol.messages import Offer
from orchestra.specification import JobSpecification, ParameterType, PropertyValue
from orchestra.storage.attempts import ClaimedRun, withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.job_versions import JobVersion
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import move_run
from orchestra_master.parts import MasterParts


class SecretReader(Protocol):
    """Opens what the service sealed."""

    def open(self, sealed: str) -> dict[str, str]:
        """The secret parameters of a run; raises an OrchestraError if they cannot be opened."""


class Offering:
    """Makes the offers of one master."""

    def __init__(self, *, parts: MasterParts, secrets: SecretReader) -> None:
        self._parts = parts
        self._secrets = secrets

    async def offer(self, claimed: Iterable[tuple[ClaimedRun, JobVersion]]) -> None:
        """Offers each of these runs to the worker for which it was claimed."""
        # First all that can be offered, so that a database that goes away meanwhile holds up none of them.
        failed = [failure for each, version in claimed if (failure := self._offer(each, version))]
        for failure in failed:
            await self._take_back(failure)

    def _offer(self, claimed: ClaimedRun, version: JobVersion) -> "_Failure | None":
        connected = self._parts.roster.find(claimed.worker)
        if connected is None or connected.epoch != claimed.epoch:
            # It went between the claim and now: its link could not withdraw what it had not been offered yet.
            return _Failure(claimed=claimed, reason="the worker went away before it was offered")
        try:
            secrets = self._secrets.open(claimed.sealed_secrets) if claimed.sealed_secrets else {}
        except OrchestraError as error:
            return _Failure(claimed=claimed, reason="the offer could not be made", broken=str(error))
        offer = Offer(
            run=claimed.run,
            attempt=claimed.attempt,
            project=version.project,
            job=version.job,
            slots=claimed.slots,
            execution=version.specification.execution,
            parameters=msgspec.json.decode(claimed.parameters, type=dict[str, PropertyValue]),
            secrets={name: secrets[name] for name in _secret_names(version.specification) if name in secrets},
        )
        if (size := frame_bytes(offer)) > FRAME_BYTES_MAX:
            # Each worker would drop its connection over it, one after the other, with all that runs there.
            words = f"the job and its parameters have {size} bytes, {FRAME_BYTES_MAX} at most can be sent to a worker"
            return _Failure(claimed=claimed, reason="the offer could not be made", broken=words)
        connected.hold((claimed.run, claimed.attempt), claimed.slots, self._parts.clock.monotonic())
        self._parts.roster.offered.set()
        connected.send(offer)
        return None

    async def _take_back(self, failure: "_Failure") -> None:
        """Nothing was offered: the run is pending again, or over if no offer of it can ever be made."""
        claimed, now, actor = failure.claimed, self._parts.clock.now(), self._parts.actor

        def take_back(connection: Connection) -> None:
            withdrawn = withdraw_offer(
                connection, claimed.run, claimed.attempt, actor=actor, reason=failure.reason, now=now
            )
            is_broken = withdrawn and failure.broken is not None
            if is_broken and state_of_run(connection, claimed.run) is RunState.PENDING:
                move_run(connection, claimed.run, RunEvent.BROKE, actor=actor, now=now, reason=failure.broken or "")

        await self._parts.database.write(
            take_back, signals=[Signal(Topic.PENDING), Signal(Topic.RUN, str(claimed.run))]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """A run that was claimed and could not be offered."""

    claimed: ClaimedRun
    reason: str
    broken: str | None = None
    """Why no offer of it can ever be made."""


def _secret_names(specification: JobSpecification) -> list[str]:
    """Of its parameters: a pipeline hands on all of its secrets, and a job is given those that it asks for."""
    return [each.name for each in specification.parameters if each.type is ParameterType.SECRET]
