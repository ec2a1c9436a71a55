"""What a pipeline's version says, parsed once: versions never change, and each step of a pipeline looks at its own."""

from functools import lru_cache

import msgspec
from sqlalchemy import Connection

from orchestra.identifiers import JobVersionId
from orchestra.pipeline.graph import Graph
from orchestra.specification import JobSpecification
from orchestra.storage.job_versions import version_text

_KEPT_MAX = 64


def specification_of_version(connection: Connection, version: JobVersionId) -> JobSpecification:
    """The job as it was; raises NotFound."""
    return _parsed(version_text(connection, version))


def graph_of_version(connection: Connection, version: JobVersionId) -> Graph:
    """The elements of a pipeline in their order; raises NotFound."""
    return _graph(version_text(connection, version))


# By text and not by number: several databases may be open in one process.
@lru_cache(maxsize=_KEPT_MAX)
def _parsed(text: str) -> JobSpecification:
    return msgspec.json.decode(text, type=JobSpecification)


@lru_cache(maxsize=_KEPT_MAX)
def _graph(text: str) -> Graph:
    pipeline = _parsed(text).pipeline
    assert pipeline is not None, "only pipelines are resolved"
    return Graph(pipeline)
