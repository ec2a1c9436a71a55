"""Identifiers: one type per noun, so that a run can never be taken for a worker, and the rule for names."""

import re
from typing import NewType

from orchestra.errors import BadName

ProjectId = NewType("ProjectId", int)
JobId = NewType("JobId", int)
JobVersionId = NewType("JobVersionId", int)
ScheduleId = NewType("ScheduleId", int)
RunId = NewType("RunId", int)
"""The number that people see: #482, unique per instance."""
AttemptNumber = NewType("AttemptNumber", int)
"""Counts the offers of a run from 1; with the run it is the fencing token. An offer that never ran uses a number up."""
WorkerId = NewType("WorkerId", int)
UserId = NewType("UserId", int)
TokenId = NewType("TokenId", int)

WorkerName = NewType("WorkerName", str)
Epoch = NewType("Epoch", int)
"""Counts the sessions of a worker: +1 in the database at each hello. What comes under an older one changes nothing."""
Signature = NewType("Signature", str)
"""Names what a job asks of a worker: runs with the same signature can be given to the same workers."""

NAME_CHARACTERS_MAX = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def checked_name(kind: str, text: str) -> str:
    """The text, if it may name a thing of this kind (a file name and a URL segment everywhere); raises BadName."""
    if not _NAME.fullmatch(text):
        raise BadName(kind, text)
    return text


def split_job(text: str) -> tuple[str, str]:
    """`ops/backup` as project and job name; raises BadName."""
    project, slash, job = text.partition("/")
    if not slash:
        raise BadName("job", text)
    return checked_name("project", project), checked_name("job", job)
