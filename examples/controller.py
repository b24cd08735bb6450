"""A controller for two TinCan modules (tin-can linkd) that can exchange two files or FIFOs: see docs/linkd.md.

controller.py SOCKET first|second OWN-ADDRESS/PREFIX PEER-ADDRESS OUR-FILE THEIR-FILE [STUN-URL]
"""

import json
import socket
import sys

path, role, own, their_address, our_file, their_file, *servers = sys.argv[1:]
sock = socket.socket(socket.AF_UNIX)
sock.connect(path)
stream = sock.makefile("rw", encoding="utf-8")
events = []


def call(method, **params):
    print(json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params}), file=stream, flush=True)
    while (said := json.loads(stream.readline())).get("id") != method:
        events.append(said["params"])
    if "error" in said:
        sys.exit(f"{method}: {said['error']['message']}")
    return said["result"]


def event(kind):
    while (said := events.pop(0) if events else json.loads(stream.readline())["params"])["event"] != kind:
        pass
    return said


call("subscribe", events=["candidates", "link"])
call("set_addresses", ip4=own)
call("set_peer", peer="them", addresses=[their_address])
made = call("create_link", peer="them", controlling=role == "first", servers=[{"url": url} for url in servers])
ours = made["description"]
while not ours["complete"]:  # it could be sent at once, and the rest as it comes (add_candidates)
    more = event("candidates")
    ours = {**ours, "candidates": ours["candidates"] + more["candidates"], "complete": more["complete"]}


def write():
    with open(our_file, "w") as file:
        json.dump(ours, file)


def read():
    with open(their_file) as file:
        call("connect_link", link=made["link"], description=json.load(file))


for step in (write, read) if role == "first" else (read, write):  # so FIFOs do as well as files
    step()
while True:
    print(json.dumps(event("link")), flush=True)
