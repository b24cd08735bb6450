"""Calls within a conversation: who is asked, what is heard, and what is left when something is missing."""

from __future__ import annotations

import asyncio

import pytest

from tincan.apps.call.events import (
    CAPABILITY,
    CallEnded,
    CallOffered,
    CallPlaced,
    CallStarted,
    CallStatus,
    EndReason,
    PeerMuted,
    SoundFlows,
    SoundTrouble,
)
from tincan.apps.call.interface import Switch
from tincan.apps.call.session import DEAF
from tincan.apps.chat import Closed, MessageReceived, PeerHello
from tincan.audio import chimes, rtp
from tincan.audio.devices import Choice, Device, Devices
from tincan.audio.pcm import TICK
from tincan.errors import DeviceMissing, UsageError
from unit.apps.call.people import WORDS, Person, two_people


async def talking(ada: Person, bob: Person) -> None:
    ada.calls.call()
    await bob.sees(CallOffered)
    bob.calls.answer(True)
    for person in (ada, bob):
        await person.sees(CallStarted)
        await person.sees(SoundFlows)


async def test_a_call_in_the_middle_of_a_chat() -> None:
    async with two_people() as (ada, bob):
        await talking(ada, bob)
        ada.sound.speak(WORDS)
        await bob.until(lambda: bob.hears)
        bob.sound.speak(WORDS)
        await ada.until(lambda: ada.hears)
        await ada.conversation.send("one can still write")
        assert (await bob.sees(MessageReceived)).text == "one can still write"
        status = await ada.sees(CallStatus, 2)
        assert status.microphone == "Microphone"
        assert status.path == "lan"
        assert status.peer_level > -127  # the needle has been falling since
        bob.calls.hang_up()
        assert (await ada.sees(CallEnded)).reason is EndReason.PEER
        assert (await bob.sees(CallEnded)).reason is EndReason.LOCAL
        assert ada.calls.status is None
        await talking(bob, ada)  # and once more, the other way round
        ada.sound.speak(WORDS)
        await bob.until(lambda: bob.hears)


async def test_nothing_is_opened_before_the_user_has_accepted() -> None:
    async with two_people() as (ada, bob):
        ada.calls.call()
        await bob.sees(CallOffered)
        packet = b"\x80\x6f" + bytes(30)
        ada.link.media(lambda _: None).send(packet)
        await asyncio.sleep(0.2)
        assert (ada.sound.opened, bob.sound.opened) == (0, 0)
        bob.calls.answer(False)
        assert (await ada.sees(CallEnded)).reason is EndReason.DECLINED
        await asyncio.sleep(0.1)
        assert (ada.sound.opened, bob.sound.opened) == (0, 0)
        assert list(bob.sound.played) == []
        assert await ada.sees(CallPlaced)


async def test_two_who_came_to_talk_do_so_at_once() -> None:
    async with two_people({"talks": True}, {"talks": True}) as (ada, bob):
        for person in (ada, bob):
            await person.sees(SoundFlows)
            assert not any(isinstance(event, CallOffered) for event in person.told)
        ada.sound.speak(WORDS)
        await bob.until(lambda: bob.hears)


async def test_who_came_to_talk_asks_who_came_to_write() -> None:
    async with two_people({"talks": True}) as (ada, bob):
        await bob.sees(CallOffered)
        kinds = [type(event) for event in bob.told]
        assert kinds.index(PeerHello) < kinds.index(CallOffered)
        bob.calls.answer(True)
        await ada.sees(SoundFlows)


async def test_a_muted_microphone_is_not_heard_and_the_peer_knows() -> None:
    async with two_people(ada={"switches": {Switch.MUTED: True}}) as (ada, bob):
        await talking(ada, bob)
        assert (await bob.sees(PeerMuted)).muted
        ada.sound.speak(WORDS)
        await asyncio.sleep(0.5)
        assert not bob.hears
        ada.calls.switch(Switch.MUTED, False)
        assert not (await bob.sees(PeerMuted, 2)).muted
        await bob.until(lambda: bob.hears)


async def test_push_to_talk() -> None:
    async with two_people(ada={"switches": {Switch.PUSH_TO_TALK: True}}) as (ada, bob):
        await talking(ada, bob)
        ada.sound.speak(WORDS)
        await asyncio.sleep(0.5)
        assert not bob.hears
        ada.calls.switch(Switch.PRESSED, True)
        await bob.until(lambda: bob.hears)
        ada.calls.switch(Switch.PRESSED, False)
        await bob.until(lambda: not bob.hears)


async def test_a_peer_without_voice_is_said_plainly() -> None:
    async with two_people(bob={"voice": False}) as (ada, bob):
        assert bob.conversation.calls is None
        assert CAPABILITY not in (await ada.sees(PeerHello)).capabilities
        with pytest.raises(UsageError, match="takes no calls"):
            ada.calls.call()


async def test_who_came_to_talk_hears_that_the_peer_takes_no_calls_and_can_write() -> None:
    async with two_people({"talks": True}, {"voice": False}) as (ada, bob):
        assert "takes no calls" in (await ada.sees(SoundTrouble)).text
        await ada.conversation.send("then we write")
        await bob.sees(MessageReceived)


NOTHING = Devices()
HEADSET = Devices((Device(b"h", "Headset", True),), (Device(b"h", "Headset", True),))
SPEAKER_ONLY = Devices((), (Device(b"s", "Speaker", True),))


async def test_without_any_device_the_call_stands_and_sound_comes_with_one() -> None:
    async with two_people(ada={"there": NOTHING}) as (ada, bob):
        ada.calls.call()
        await bob.sees(CallOffered)
        bob.calls.answer(True)
        assert "no microphone" in (await ada.sees(SoundTrouble)).text
        status = await ada.sees(CallStatus, 2)
        assert (status.microphone, status.speaker) == (None, None)
        bob.sound.speak(WORDS)
        ada.sound.plug(HEADSET)
        assert (await ada.sees(SoundFlows)).microphone == "Headset"
        await ada.until(lambda: ada.hears)


async def test_without_a_microphone_one_can_listen() -> None:
    async with two_people(ada={"there": SPEAKER_ONLY}) as (ada, bob):
        await talking(ada, bob)
        flows = await ada.sees(SoundFlows)
        assert (flows.microphone, flows.speaker) == (None, "Speaker")
        bob.sound.speak(WORDS)
        await ada.until(lambda: ada.hears)


async def test_a_sound_server_that_dies_in_the_middle_comes_back() -> None:
    async with two_people() as (ada, bob):
        await talking(ada, bob)
        ada.sound.fail()
        assert (await ada.sees(SoundTrouble)).text
        await ada.sees(SoundFlows, 2)
        bob.sound.speak(WORDS)
        await ada.until(lambda: ada.hears)


@pytest.mark.parametrize("ending", ["goodbye", "cut"])
async def test_a_call_ends_with_its_string(ending: str) -> None:
    async with two_people() as (ada, bob):
        await talking(ada, bob)
        if ending == "goodbye":
            await ada.conversation.goodbye(asyncio.get_running_loop().time() + 5)
        else:
            ada.link.vanish()
        await bob.sees(Closed)
        reason = EndReason.PEER if ending == "goodbye" else EndReason.LOST
        assert (await bob.sees(CallEnded)).reason is reason
        kinds = [type(event) for event in bob.told]
        assert kinds.index(CallEnded) < kinds.index(Closed)


async def test_leaving_in_the_middle_leaves_nothing_behind() -> None:
    async with two_people() as (ada, bob):
        await talking(ada, bob)


async def test_with_loss_and_jitter_it_goes_on() -> None:
    async with two_people() as (ada, bob):
        ada.link.weather.loss, ada.link.weather.jitter = 0.1, 0.02
        await talking(ada, bob)
        ada.sound.speak(WORDS)
        await ada.until(lambda: ada.calls.status is not None and ada.calls.status.redundant)
        await bob.until(lambda: bob.hears)


async def test_a_device_that_is_not_named_stays_as_it_was_chosen() -> None:
    two = Devices(
        (Device(b"m", "Microphone", True), Device(b"n", "Other microphone")),
        (Device(b"s", "Speaker", True), Device(b"t", "Other speaker")),
    )
    async with two_people(ada={"there": two}) as (ada, bob):
        ada.calls.choose(Choice("Other microphone", None))
        await talking(ada, bob)
        ada.calls.choose(Choice(None, "Other speaker"))
        await ada.until(lambda: ada.calls.status is not None and ada.calls.status.speaker == "Other speaker")
        assert ada.calls.status is not None
        assert ada.calls.status.microphone == "Other microphone"
        assert ada.calls.status.seconds >= 0


async def test_the_tone_of_the_end_is_heard_to_its_end_also_when_the_other_one_leaves_altogether() -> None:
    async with two_people() as (ada, bob):
        await talking(ada, bob)
        await bob.until(lambda: len(bob.sound.played) > 50)  # the tone of the beginning is over
        before = len(bob.sound.played)
        await ada.conversation.goodbye(asyncio.get_running_loop().time() + 5)
        await bob.sees(Closed)
        assert (await bob.sees(CallEnded)).reason is EndReason.PEER
        loud = [piece for piece in list(bob.sound.played)[before:] if max(piece) > 1500]
    assert len(loud) >= len(chimes.left()) // TICK - 2  # it begins and ends softly


async def test_a_sound_server_that_does_not_answer_holds_no_command_up() -> None:
    async def never() -> Devices:
        await asyncio.Event().wait()
        return Devices()

    async with two_people() as (ada, _):
        ada.sound.devices = never  # type: ignore[method-assign]
        with pytest.raises(DeviceMissing, match="does not answer"):
            await ada.calls.devices()


async def test_a_machine_that_was_busy_sends_no_more_sound_than_there_was_time() -> None:
    """The devices give what they have kept; had the call gone on with silence meanwhile, that would come on top."""
    sent: list[tuple[int, bytes]] = []

    def take(packet: bytes) -> bytes:
        if not 192 <= packet[1] <= 223:
            sent.append((len(ada.sound.played), packet))
        return packet

    async with two_people() as (ada, bob):
        ada.link.weather.alter = take
        await talking(ada, bob)
        ada.sound.speak(WORDS)
        for _ in range(5):  # the machine may really have been busy, and for longer
            sent.clear()
            await ada.until(lambda: len(sent) > 10)
            ada.sound.hold(0.3)
            await ada.until(lambda: len(sent) > 50)
            (first, before), *_, (last, after) = [(at, rtp.parse(packet).timestamp) for at, packet in sent]
            said = ((after - before) & 0xFFFFFFFF) // TICK
            if abs(said - (last - first)) <= 4:
                break
    assert said == pytest.approx(last - first, abs=4)


async def test_the_tone_of_the_beginning_waits_for_the_speaker() -> None:
    async with two_people(ada={"there": NOTHING}) as (ada, bob):
        ada.calls.call()
        await bob.sees(CallOffered)
        bob.calls.answer(True)
        await ada.sees(CallStatus, 2)
        ada.sound.plug(HEADSET)
        await ada.sees(SoundFlows)
        await ada.until(lambda: len(ada.sound.played) > 30)
        loud = [piece for piece in ada.sound.played if max(piece) > 1500]
    assert len(loud) >= len(chimes.joined()) // TICK - 2  # it begins and ends softly


async def test_a_microphone_that_gives_nothing_at_all_is_told_once() -> None:
    async with two_people() as (ada, bob):
        bob.sound.speak(WORDS)
        await talking(ada, bob)
        assert (await ada.sees(SoundTrouble)).text == DEAF
        await ada.sees(CallStatus, 7)
        assert [event.text for event in ada.told if isinstance(event, SoundTrouble)] == [DEAF]
        assert not any(isinstance(event, SoundTrouble) for event in bob.told)
