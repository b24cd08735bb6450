"""Port mapping with a real router's program, miniupnpd: the outside gets in while it shall, and only then."""

from __future__ import annotations

import signal
import socket
import sys

import pytest

from lab import mapped, miniupnpd, netlab
from lab.hosts import Host, Router
from lab.miniupnpd import EXTERNAL, Method, know_the_way, mapped_ports, start_miniupnpd
from lab.netlab import Lab
from lab.packets import eventually
from lab.processes import Process

pytestmark = [
    pytest.mark.skipif(not netlab.root_available(), reason="needs Linux, root, ip and nft"),
    pytest.mark.skipif(not miniupnpd.installed(), reason="needs miniupnpd (package miniupnpd-nftables)"),
]

PORT = 41000


def start(host: Host, port: int = PORT) -> Process:
    """Have a port of a host mapped, with somebody listening on it."""
    program = host.start([sys.executable, mapped.__file__, str(port)], env={"PYTHONWARNINGS": "error"})
    program.wait_line("listening")
    return program


def mapping(program: Process) -> tuple[str, int, str]:
    """Wait for the mapping."""
    address, port, method = program.wait_line("mapping").split()[1:]
    return address, int(port), method


def leave(program: Process) -> None:
    """End it, and with it the mapping."""
    program.close_stdin()
    program.wait_line("left")
    assert program.wait() == 0


def none_left(router: Router) -> None:
    """Wait until the router has nothing mapped; it may still be at work on the last request."""
    eventually(lambda: mapped_ports(router) == [])


def said(outside: Host, where: tuple[str, int]) -> bytes:
    """Connect from the internet and return what the other end says."""
    with outside.socket(socket.SOCK_STREAM) as sock:
        sock.connect(where)
        sock.sendall(b"can\n")
        return sock.makefile("rb").read()


def assert_closed(outside: Host, where: tuple[str, int]) -> None:
    with outside.socket(socket.SOCK_STREAM, timeout=0.3) as sock, pytest.raises((TimeoutError, ConnectionError)):
        sock.connect(where)


def home_and_outside(lab: Lab, kind: str = "port-restricted") -> tuple[Router, Host]:
    home, outside = lab.nat(kind), lab.host()
    know_the_way(outside, home)
    return home, outside


@pytest.mark.parametrize("method", ["pcp", "nat-pmp", "upnp"])
def test_each_method_alone_lets_the_outside_in_until_the_end(lab: Lab, method: Method) -> None:
    home, outside = home_and_outside(lab)
    start_miniupnpd(home, {method})
    assert_closed(outside, (EXTERNAL, PORT))
    program = start(home.host())
    assert mapping(program) == (EXTERNAL, PORT, method)
    assert said(outside, (EXTERNAL, PORT)) == b"inside of can\n"
    leave(program)
    none_left(home)
    assert_closed(outside, (EXTERNAL, PORT))


def test_a_router_that_speaks_all_three_makes_one_mapping_and_deletes_it(lab: Lab) -> None:
    home, outside = home_and_outside(lab, "symmetric")
    start_miniupnpd(home, {"pcp", "nat-pmp", "upnp"})
    program = start(home.host())
    address, port, _ = mapping(program)
    assert said(outside, (address, port)) == b"inside of can\n"
    assert mapped_ports(home) == [port]
    leave(program)
    none_left(home)


@pytest.mark.parametrize(("method", "igd"), [("pcp", 2), ("nat-pmp", 2), ("upnp", 1), ("upnp", 2)])
def test_two_cans_behind_one_router_get_different_ports(lab: Lab, method: Method, igd: int) -> None:
    home, outside = home_and_outside(lab)
    start_miniupnpd(home, {method}, igd=igd)
    first, second = start(home.host()), start(home.host())
    ports = [mapping(program)[1] for program in (first, second)]
    assert sorted(ports) == mapped_ports(home)
    assert len(set(ports)) == 2
    for port in ports:
        assert said(outside, (EXTERNAL, port)) == b"inside of can\n"
    leave(first)
    eventually(lambda: mapped_ports(home) == ports[1:])  # only our own mapping is deleted
    assert said(outside, (EXTERNAL, ports[1])) == b"inside of can\n"
    leave(second)


def test_another_machine_at_home_that_claims_to_be_the_router_is_not_even_visited(lab: Lab) -> None:
    home = lab.nat()
    rogue = home.host()
    with rogue.socket(port=1900) as ear, rogue.socket(socket.SOCK_STREAM, port=8080, timeout=0.5) as visitors:
        group = socket.inet_aton("239.255.255.250") + socket.inet_aton(rogue.address)
        rogue.call(ear.setsockopt, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        visitors.listen()
        program = start(home.host())
        search, seeker = ear.recvfrom(2000)
        target = search.decode().partition("\nST: ")[2].partition("\r")[0]
        location = f"http://{rogue.address}:8080/root.xml"
        ear.sendto(f"HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: {location}\r\n\r\n".encode(), seeker)
        with pytest.raises(TimeoutError):
            visitors.accept()
    leave(program)


def test_ctrl_c_deletes_the_mapping_as_well(lab: Lab) -> None:
    home = lab.nat()
    start_miniupnpd(home, {"pcp", "nat-pmp", "upnp"})
    program = start(home.host())
    _, port, _ = mapping(program)
    assert mapped_ports(home) == [port]
    program.signal(signal.SIGINT)
    program.close_stdin()
    assert program.wait() != 0
    none_left(home)


def test_what_a_killed_can_left_behind_is_taken_over_by_the_next(lab: Lab) -> None:
    home = lab.nat()
    start_miniupnpd(home, {"upnp"})
    inside = home.host()
    killed = start(inside)
    where = mapping(killed)
    killed.close()
    program = start(inside)
    assert mapping(program) == where
    leave(program)
    none_left(home)


def test_a_router_without_port_mapping_disturbs_nothing(lab: Lab) -> None:
    program = start(lab.nat().host())
    leave(program)
    assert "mapping" not in program.stdout
    assert "Traceback" not in program.stderr


def test_an_open_host_asks_nobody(lab: Lab) -> None:
    program = start(lab.host())
    program.wait_line("no port mapping: no router here", stream="stderr")
    leave(program)
