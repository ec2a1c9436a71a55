"""Refusals of a definition for what others have defined: those that another try may overcome."""

from orchestra.errors import InvalidFields


class RefusedByOthers(InvalidFields):
    """The definition does not fit to what other projects say now; once they say something else, it may."""
