"""What happens in a call, in sentences, and its status in few words: the same on screens and in lines.

Names are those of devices and of the peer, made fit to be shown before they come here.
"""

from __future__ import annotations

from tincan.apps.call.events import (
    CallEnded,
    CallEvent,
    CallOffered,
    CallPlaced,
    CallStarted,
    CallStatus,
    EndReason,
    PeerMuted,
    SoundFlows,
    SoundTrouble,
)


def happened(event: CallEvent, peer: str) -> str:
    """Say what happened; nothing for a mere status."""
    match event:
        case CallPlaced():
            return f"Calling {peer} ... /hangup takes it back."
        case CallOffered():
            return f"{peer} calls: /accept or /decline."
        case CallStarted():
            return f"You are talking with {peer}. /hangup ends the call."
        case CallEnded():
            return _ended(event, peer)
        case PeerMuted():
            return f"{peer} has {'closed' if event.muted else 'opened'} the microphone."
        case SoundFlows() | SoundTrouble():
            return event.text
        case _:
            return ""


def duration(seconds: float) -> str:
    """Return minutes and seconds, and hours when there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def quality(status: CallStatus) -> list[str]:
    """Say how the call goes: what is known of it, the most telling first."""
    found = []
    if status.mouth_to_ear_ms is not None:
        found.append(f"{status.mouth_to_ear_ms:.0f} ms to the ear")
    lost = [loss for loss in (status.loss, status.loss_there) if loss is not None]
    if lost:
        found.append(f"{_percent(max(lost))} lost{', sent twice' if status.redundant else ''}")
    if status.jitter_ms is not None:
        found.append(f"jitter {status.jitter_ms:.0f} ms")
    return found


def devices(status: CallStatus) -> str:
    """Name the devices in use."""
    if status.microphone is None and status.speaker is None:
        return "no sound"
    if status.microphone == status.speaker:
        return status.speaker or ""
    return f"{status.microphone or 'no microphone'} / {status.speaker or 'no speaker'}"


def _ended(event: CallEnded, peer: str) -> str:
    took = f" after {duration(event.seconds)}" if event.seconds is not None else ""
    match event.reason:
        case EndReason.LOCAL:
            return f"You ended the call{took}."
        case EndReason.PEER:
            return f"{peer} ended the call{took}."
        case EndReason.DECLINED:
            return "The call was declined."
        case EndReason.BUSY:
            return f"{peer} cannot be called at the moment."
        case EndReason.NO_ANSWER:
            return "Nobody answered."
        case EndReason.LOST:
            return f"The call was cut{took}."


def _percent(share: float) -> str:
    return "0 %" if share < 0.0005 else f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
