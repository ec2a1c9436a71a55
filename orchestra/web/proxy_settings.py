"""What an installation says of the reverse proxy in front of it, and the options by which it does."""

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def proxy_options(function: F) -> F:
    """The options of a command that serves the web: `trusted_proxies`, a tuple of addresses, and `secure_cookies`."""
    proxies = click.option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="ADDRESS",
        help="A reverse proxy that says where requests come from; may be repeated.",
    )
    cookies = click.option("--secure-cookies", is_flag=True, help="Behind TLS: cookies never travel over plain HTTP.")
    return proxies(cookies(function))
