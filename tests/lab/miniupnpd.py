"""miniupnpd as the port mapping of a laboratory router: PCP, NAT-PMP and UPnP, each by itself or together.

It refuses to serve from the documentation ranges that the laboratory's internet is made of, so the router
gets a second outside address that it may name: one of a block that IANA keeps and nobody routes. Nothing
leaves the laboratory in any case.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from lab.namespaces import LabError
from lab.nat import INSIDE, OUTSIDE
from lab.processes import PATIENCE

if TYPE_CHECKING:
    from lab.hosts import Host, Router
    from lab.processes import Process

Method = Literal["pcp", "nat-pmp", "upnp"]

EXTERNAL = "192.0.1.77"
PORT = 5351

TABLE = """
table inet miniupnpd {
chain forward { type filter hook forward priority 10; policy accept; jump mapped_forward; }
chain prerouting { type nat hook prerouting priority -110; policy accept; jump mapped; }
chain postrouting { type nat hook postrouting priority 90; policy accept; jump mapped_back; }
chain mapped_forward { }
chain mapped { }
chain mapped_back { }
}
"""

CONFIG = f"""
ext_ifname={OUTSIDE}
ext_ip={EXTERNAL}
listening_ip={INSIDE}
ipv6_disable=yes
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=mapped_forward
upnp_nat_chain=mapped
upnp_nat_postrouting_chain=mapped_back
secure_mode=yes
system_uptime=no
notify_interval=900
min_lifetime=120
max_lifetime=86400
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""

NOT_THIS_VERSION = """
table inet one_version {{
chain input {{ type filter hook input priority -10; policy accept; udp dport {port} @th,64,8 {version} drop; }}
}}
"""
"""PCP and NAT-PMP share a port and a switch; the first byte of a request tells them apart."""


def installed() -> bool:
    """Whether the program is there (Debian: miniupnpd-nftables, which brings no service)."""
    return program() is not None


def program() -> str | None:
    """Return the program's path; the directory is not in everybody's PATH."""
    return shutil.which("miniupnpd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/sbin")


def start_miniupnpd(
    router: Router, methods: Collection[Method], *, igd: int = 2, timeout: float = PATIENCE
) -> Process:
    """Start it on a router and return when it is ready. ``igd``: the version of UPnP's device that it is."""
    path = program()
    if path is None:
        raise LabError("miniupnpd is not installed (package miniupnpd-nftables)")
    router.namespace.ip([f"addr add {EXTERNAL}/32 dev {OUTSIDE}"])
    router.namespace.nft(TABLE)
    for method, version in (("nat-pmp", 0), ("pcp", 2)):
        if method not in methods:
            router.namespace.nft(NOT_THIS_VERSION.format(port=PORT, version=version))
    direct, upnp = not {"pcp", "nat-pmp"}.isdisjoint(methods), "upnp" in methods
    switches = {"enable_natpmp": direct, "enable_upnp": upnp, "force_igd_desc_v1": igd == 1}
    lines = [f"{name}={'yes' if value else 'no'}" for name, value in switches.items()]
    own = router.lab.registry.directory / f"{router.name}.miniupnpd"
    own.with_suffix(".conf").write_text(CONFIG + "\n".join([f"uuid={uuid.uuid4()}", *lines, ""]))
    process = router.start([path, "-d", "-f", own.with_suffix(".conf"), "-P", own.with_suffix(".pid")])
    deadline = time.monotonic() + timeout
    for wanted, sign in ((upnp, "HTTP listening on port"), (direct, "Listening for NAT-PMP/PCP")):
        if wanted:
            process.wait_line(sign, deadline - time.monotonic(), "stderr")
    return process


def mapped_ports(router: Router) -> list[int]:
    """List the external ports that lead inside now."""
    rules = router.namespace.nft("list chain inet miniupnpd mapped\n")
    return sorted(int(port) for port in re.findall(r"th dport (\d+) dnat", rules))


def know_the_way(outside: Host, router: Router) -> None:
    """Have an open host on the internet send what is for `EXTERNAL` to this router."""
    outside.namespace.ip([f"route replace {EXTERNAL} via {router.address} dev eth0 onlink"])
