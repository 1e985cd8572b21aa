"""A small IVR (menu, PIN, transfer) on the public ARI client `asyncari`: pip install asyncari

After each digit it stores where it stands: GW_CHECKPOINT is handed to whoever takes the call over
when this process hangs or dies, and GW_ACK says which digits need not be delivered again.

    ARI_URL=http://127.0.0.1:8088/ ARI_USER=demo ARI_PASSWORD=... python ivr.py main
"""

import json
import os
import sys

import anyio
import asyncari

PIN = "1234"


class Dialog:
    """Where a caller stands: `at` is the menu or the PIN, `typed` the digits of the PIN."""

    def __init__(self, checkpoint):
        state = json.loads(checkpoint) if checkpoint else {}
        self.at, self.typed = state.get("at", "menu"), state.get("typed", "")

    def checkpoint(self):
        return json.dumps({"at": self.at, "typed": self.typed})

    def press(self, key):
        """Moves on, and says what to do: ("play" | "transfer" | "hang up", its argument)."""
        if self.at == "menu":
            if key == "1":
                self.at = "pin"
                return "play", "pin"
            return {"2": ("transfer", "2001"), "#": ("hang up", None)}.get(key, ("play", "wrong"))
        self.typed += key
        if len(self.typed) < len(PIN):
            return "wait", None
        right, self.typed = self.typed == PIN, ""
        self.at = "menu" if right else "pin"
        return "play", "right" if right else "wrong"


async def serve(channel, state, events):
    try:
        stored = (await channel.getChannelVar(variable="GW_CHECKPOINT"))["value"]
    except Exception:  # 404: a new call
        stored = ""
    dialog, handled = Dialog(stored), 0
    if state != "Up":
        await channel.answer()
    await channel.play(media=f"sound:{dialog.at}")
    async for event in events:
        if event.type != "ChannelDtmfReceived":
            continue
        action, argument = dialog.press(event.digit)
        handled += 1
        await channel.setChannelVar(variable="GW_CHECKPOINT", value=dialog.checkpoint())
        await channel.setChannelVar(variable="GW_ACK", value=str(handled))
        if action == "play":
            await channel.play(media=f"sound:{argument}")
        elif action == "transfer":
            await channel.redirect(endpoint=f"PJSIP/{argument}")
        elif action == "hang up":
            await channel.hangup()


async def main(url, user, password, app):
    async with asyncari.connect(url, app, user, password) as client:
        async with client.on_channel_event("StasisStart") as calls:
            async for found, event in calls:
                channel = found["channel"]
                # aiter() opens the channel's queue at once, so that no digit is missed.
                client.taskgroup.start_soon(serve, channel, event["channel"]["state"], aiter(channel))


env = os.environ.get
anyio.run(main, env("ARI_URL", "http://127.0.0.1:8088/"), env("ARI_USER", "demo"),
          env("ARI_PASSWORD", ""), sys.argv[1] if len(sys.argv) > 1 else "main")
