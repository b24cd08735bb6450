"""The real data plane: a tap, and two pumps in processes of their own."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from tincan.vpn.path.plane import DataPlane, PlaneSettings


def open_plane(settings: PlaneSettings) -> AbstractAsyncContextManager[DataPlane]:
    """Make a tap and start its pumps; at the context's end all is gone.

    Raises `tincan.errors.DeviceMissing` where there is no right to, or no tap.
    """
    raise NotImplementedError
