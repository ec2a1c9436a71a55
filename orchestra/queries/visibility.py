"""The one place where lists are filtered by what somebody may see."""

from sqlalchemy import ColumnElement

from orchestra.policy import Scope


def within(scope: Scope, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """The condition that leaves out what this scope does not cover; empty if it covers all."""
    return [] if scope.everywhere else [column.in_(scope.projects)]
