"""How often a run's page shall be loaded again, as its address says."""

from collections.abc import Mapping

from orchestra.web.errors import BadQuery

REFRESH_SECONDS = ("10", "30", "60", "300")


def refresh_asked(query: Mapping[str, str], *, is_over: bool) -> dict[str, str]:
    """The header that loads the page again, if the reader has asked for it and there is anything to wait for."""
    text = query.get("refresh")
    if text is None:
        return {}
    if text not in REFRESH_SECONDS:
        raise BadQuery([("/refresh", f"must be one of {', '.join(REFRESH_SECONDS)} (seconds)")])
    return {} if is_over else {"refresh": text}
