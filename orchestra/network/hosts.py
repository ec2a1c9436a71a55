"""Addresses of machines: what those of one owner have in common, and whether one is this machine alone."""

from ipaddress import AddressValueError, IPv6Address, ip_address
from typing import Final

NETWORK_BITS: Final = 64
"""Of an IPv6 address: behind them everybody chooses as many as he likes."""


def network_of(address: str) -> str:
    """An address, or what an IPv6 address has in common with all others of its owner."""
    if ":" not in address:
        return address
    try:
        return f"network {int(IPv6Address(address)) >> (128 - NETWORK_BITS):x}"
    except AddressValueError:
        return address


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach who listens here."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
