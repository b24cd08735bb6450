"""Group networks of real processes on real hosts, with unmodified programs on them."""

from __future__ import annotations

from lab.cans import Town
from lab.netlab import Lab
from lab.networks import all_up, grouped


def test_three_members_behind_three_kinds_of_nat(lab: Lab) -> None:
    town = Town(lab)
    kinds = {"alice": "port-restricted", "bob": "full-cone", "carol": "symmetric"}
    hosts = [lab.nat(kind).host(name) for name, kind in kinds.items()]
    members = grouped(hosts, [town.switchboard.url])
    all_up(members, *town.options(transport="udp"))
    alice, bob, carol = members
    assert alice.sees(bob, carol) == {"bob": "direct-udp", "carol": "relayed"}
    for one in members:
        for other in members:
            if one is not other:
                one.ping(other.address)
                one.ping(other.address6)
    with bob.iperf():
        print("direct", alice.throughput(bob.address))
        print("carol-bob", carol.throughput(bob.address))
    for member in members:
        member.down()
