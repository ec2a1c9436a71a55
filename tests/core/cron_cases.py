"""What the cron tests share."""

from datetime import datetime

from orchestra.clock import Instant, from_datetime


def at(text: str) -> Instant:
    """The instant of an ISO 8601 text with its offset."""
    return from_datetime(datetime.fromisoformat(text))
