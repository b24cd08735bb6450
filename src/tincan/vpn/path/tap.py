"""The tap: a TUN or TAP interface with vnet headers, and what must be set about it, by ioctl and rtnetlink.

``Documentation/networking/tuntap.rst``, ``linux/if_tun.h`` and rtnetlink(7). Linux only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from tincan.errors import DeviceMissing
from tincan.vpn.path.plane import Interface, Mode

logger = logging.getLogger(__name__)

IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x0002, 0x1000, 0x4000
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40
OFFLOAD = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6

RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR = 16, 20, 21
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_CREATE = 0x01, 0x04, 0x100, 0x400
NLMSG_ERROR = 2
IFLA_MTU, IFLA_TXQLEN, IFLA_GSO_MAX_SEGS, IFLA_GSO_MAX_SIZE = 4, 13, 40, 41
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x02
IFF_UP, IFF_NOARP = 0x1, 0x80

NO_IPV6 = {errno.EACCES, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}
"""What RTM_NEWADDR says where IPv6 is switched off: by disable_ipv6, or for the whole kernel."""

QUEUE = 500
"""Packets between the kernel and the out pump."""


class Tap:
    """An open interface. It is gone when its last descriptor is closed."""

    def __init__(self, name: str, mode: Mode) -> None:
        if len(name.encode()) > 15 or "/" in name or not name or name.isspace():
            raise ValueError(f"{name!r} is no name for an interface")
        self.mode = mode
        self.fd = _open()
        try:
            self.name = self._attach(name)
            self.datagram_runs = self._offload()
            self.index = socket.if_nametoindex(self.name)
        except BaseException:
            os.close(self.fd)
            raise
        self._addresses: tuple[Interface, ...] = ()

    def _attach(self, name: str) -> str:
        flags = (IFF_TUN if self.mode is Mode.IP else IFF_TAP) | IFF_NO_PI | IFF_VNET_HDR
        try:
            answer = fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        except OSError as exc:
            if exc.errno == errno.EBUSY:
                raise DeviceMissing(f"The interface {name} is in use; name another one with --tap.") from exc
            raise DeviceMissing(_no_right(exc)) from exc
        return answer[:16].rstrip(b"\0").decode()

    def _offload(self) -> bool:
        """Ask for large packets; True if UDP may be large as well (Linux 6.2)."""
        try:
            fcntl.ioctl(self.fd, TUNSETOFFLOAD, OFFLOAD | TUN_F_USO4 | TUN_F_USO6)
        except OSError:
            fcntl.ioctl(self.fd, TUNSETOFFLOAD, OFFLOAD)
            return False
        return True

    def configure(self, mtu: int, addresses: tuple[Interface, ...], segments: int) -> None:
        """Set the MTU and the addresses, and bring the interface up.

        ``segments`` is how many one packet may have: as many as one sendmsg takes.
        """
        quiet = Path(f"/proc/sys/net/ipv6/conf/{self.name}/addr_gen_mode")
        if self.mode is Mode.IP:
            with contextlib.suppress(OSError):  # IPv6 may be switched off
                quiet.write_text("1\n")  # no link-local address: nobody could answer it
        with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)) as route:
            route.bind((0, 0))
            flags = IFF_UP | (IFF_NOARP if self.mode is Mode.IP else 0)
            link = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, self.index, flags, IFF_UP | IFF_NOARP)
            _ask(route, RTM_NEWLINK, 0, link, [(IFLA_MTU, _u32(mtu)), (IFLA_TXQLEN, _u32(QUEUE))])
            with contextlib.suppress(OSError):  # only a matter of speed
                _ask(route, RTM_NEWLINK, 0, link, [(IFLA_GSO_MAX_SEGS, _u32(segments))])
            for address in self._addresses:
                if address not in addresses:
                    with contextlib.suppress(OSError):  # somebody else took it away
                        self._address(route, RTM_DELADDR, 0, address)
            for address in addresses:
                try:
                    self._address(route, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address)
                except OSError as exc:
                    if address.version == 4 or exc.errno not in NO_IPV6:
                        raise
                    if len(addresses) == 1:
                        raise OSError(exc.errno, "IPv6 is switched off on this machine") from exc
                    logger.warning("IPv6 is switched off on this machine: %s goes without %s", self.name, address)
        self._addresses = addresses

    def _address(self, route: socket.socket, kind: int, flags: int, address: Interface) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        head = struct.pack("=BBBBi", family, address.network.prefixlen, 0, 0, self.index)
        attributes = [(IFA_LOCAL, address.packed), (IFA_ADDRESS, address.packed)]
        if address.version == 4 and address.network.prefixlen < 31:
            attributes.append((IFA_BROADCAST, address.network.broadcast_address.packed))
        if address.version == 6:
            attributes.append((IFA_FLAGS, _u32(IFA_F_NODAD)))
        _ask(route, kind, flags, head, attributes)

    def close(self) -> None:
        """Let go of the interface."""
        os.close(self.fd)


def _open() -> int:
    try:
        return os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as exc:
        raise DeviceMissing(
            "A virtual network needs root, or CAP_NET_ADMIN and the right to open /dev/net/tun."
        ) from exc
    except OSError as exc:
        raise DeviceMissing(_no_right(exc)) from exc


def _no_right(exc: OSError) -> str:
    if exc.errno in (errno.EPERM, errno.EACCES):
        return "A virtual network needs root, or the capability CAP_NET_ADMIN."
    if exc.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return "This system has no /dev/net/tun, which a virtual network needs."
    return f"The virtual interface could not be made: {exc.strerror}."


def _u32(number: int) -> bytes:
    return struct.pack("=I", number)


def _ask(route: socket.socket, kind: int, flags: int, head: bytes, attributes: Iterable[tuple[int, bytes]]) -> None:
    """Send one request to rtnetlink and look at the answer."""
    body = head.ljust(len(head) + 3 & ~3, b"\0")
    for name, value in attributes:
        body += struct.pack("=HH", 4 + len(value), name) + value.ljust(len(value) + 3 & ~3, b"\0")
    route.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0) + body)
    answer = route.recv(8192)
    if struct.unpack_from("=H", answer, 4)[0] == NLMSG_ERROR and (code := struct.unpack_from("=i", answer, 16)[0]):
        raise OSError(-code, os.strerror(-code))
