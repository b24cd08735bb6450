"""Opens the screens and waits until they are left: the one door for commands."""

from __future__ import annotations

from tincan.tui.seam import Opening, Outcome, Services


async def open_screens(services: Services, opening: Opening = None) -> Outcome:
    """Show the screens until the user leaves. The terminal is restored, whatever happens."""
    from tincan.tui.app import TinCanApp

    app = TinCanApp(services, opening)
    outcome = await app.run_async()
    if app.failure is not None:
        raise app.failure
    return outcome or Outcome(interrupted=True)
