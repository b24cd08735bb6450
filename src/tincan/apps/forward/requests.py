"""What a connection is opened for: the payload of OPEN, one MessagePack map.

Later versions may ask for more; a kind that is not known is refused, and only
what cannot be understood at all breaks the protocol.
"""

from __future__ import annotations

import msgspec

from tincan.apps.forward.addresses import Address, Transport, UnixPath, read_address, read_target
from tincan.errors import ProtocolError


class Dial(msgspec.Struct, frozen=True, tag="dial", tag_field="kind"):
    """Connect to ``target`` and carry what comes."""

    target: str
    transport: Transport

    @property
    def address(self) -> Address:
        """The target, read."""
        return read_target(self.target)


class Listen(msgspec.Struct, frozen=True, tag="listen", tag_field="kind"):
    """Listen on ``at``, and ask with a `Dial` to ``target`` for each connection. Ends with the connection."""

    at: str
    target: str
    transport: Transport

    @property
    def address(self) -> Address:
        """Where to listen, read."""
        return read_address(self.at)


Request = Dial | Listen


class _AnyRequest(msgspec.Struct):
    """A request of which only the kind is looked at."""

    kind: str


_encoder = msgspec.msgpack.Encoder()
_any_decoder = msgspec.msgpack.Decoder(_AnyRequest)
_DECODERS: dict[str, msgspec.msgpack.Decoder[Request]] = {
    "dial": msgspec.msgpack.Decoder(Dial),
    "listen": msgspec.msgpack.Decoder(Listen),
}


def encode_request(request: Request) -> bytes:
    """Return the payload of OPEN."""
    return _encoder.encode(request)


def decode_request(what: bytes) -> Request | None:
    """Return what the peer asks for, None when this version does not know it; raise `ProtocolError`."""
    try:
        decoder = _DECODERS.get(_any_decoder.decode(what).kind)
        if decoder is None:
            return None
        request = decoder.decode(what)
        addresses = (request.address, read_target(request.target))
        if request.transport is Transport.UDP and any(isinstance(address, UnixPath) for address in addresses):
            raise ValueError("UDP does not go through Unix sockets")
    except (ValueError, RecursionError) as exc:  # msgspec's errors are ValueErrors
        raise ProtocolError(f"The peer's forward asked for something malformed: {exc}.") from exc
    return request
