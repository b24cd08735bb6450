"""Two questions about a network interface, put to the kernel (netdevice(7)); in this process's own namespace."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Final

_SIOCGIFFLAGS: Final = 0x8913  # <linux/sockios.h>
_SIOCGIFHWADDR: Final = 0x8927
_UP_AND_RUNNING: Final = 0x1 | 0x40  # <linux/if.h>: IFF_UP, IFF_RUNNING
_ETHERNET: Final = 1  # <linux/if_arp.h>: ARPHRD_ETHER


def carries(name: str) -> bool:
    """Whether an interface is up and has a carrier; True where that cannot be told."""
    answer = _ask(_SIOCGIFFLAGS, name)
    return answer is None or struct.unpack_from("=H", answer, 16)[0] & _UP_AND_RUNNING == _UP_AND_RUNNING


def mac(name: str) -> str | None:
    """The MAC address of an Ethernet interface."""
    answer = _ask(_SIOCGIFHWADDR, name)
    if answer is None or struct.unpack_from("=H", answer, 16)[0] != _ETHERNET:
        return None
    return answer[18:24].hex(":")


def _ask(request: int, name: str) -> bytes | None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return fcntl.ioctl(sock, request, struct.pack("16s24x", name.encode()))
    except (OSError, struct.error):
        return None
