"""A small IVR (menu, PIN, transfer) on the public ARI client `asyncari`: pip install asyncari

After each digit it stores where it stands: GW_CHECKPOINT is handed to whoever takes the call over
when this process hangs or dies, and GW_ACK says which digits need not be delivered again.

    ARI_URL=http://127.0.0.1:8088/ ARI_USER=demo ARI_PASSWORD=... python ivr.py main
"""

import os
import sys

import anyio
import asyncari

PIN = "1234"


def press(at, key):
    """Where the caller stands next, and what to do with what: (at, verb, argument).

    `at` is the checkpoint: "menu", or "pin:" and the digits so far.
    """
    if at == "menu":
        choices = {
            "1": ("pin:", "play", "pin"),
            "2": ("menu", "transfer", "2001"),
            "#": ("menu", "hang up", None),
        }
        return choices.get(key, ("menu", "play", "wrong"))
    at += key
    if len(at) < len("pin:" + PIN):
        return at, "wait", None
    return ("menu", "play", "right") if at == "pin:" + PIN else ("pin:", "play", "wrong")


async def serve(channel, state, events):
    try:
        at = (await channel.getChannelVar(variable="GW_CHECKPOINT"))["value"] or "menu"
    except Exception:  # 404: a new call
        at = "menu"
    if state != "Up":
        await channel.answer()
    await channel.play(media="sound:menu" if at == "menu" else "sound:pin")
    handled = 0
    async for event in events:
        if event.type != "ChannelDtmfReceived":
            continue
        at, verb, argument = press(at, event.digit)
        handled += 1
        await channel.setChannelVar(variable="GW_CHECKPOINT", value=at)
        await channel.setChannelVar(variable="GW_ACK", value=str(handled))
        if verb == "play":
            await channel.play(media=f"sound:{argument}")
        elif verb == "transfer":
            await channel.redirect(endpoint=f"PJSIP/{argument}")
        elif verb == "hang up":
            await channel.hangup()


async def guarded(channel, *call):
    try:
        await serve(channel, *call)
    except Exception as error:  # 404: the call is over, or somebody else's. The others go on.
        print(f"{channel.id}: {error!r}", file=sys.stderr)


async def main(url, user, password, app):
    async with asyncari.connect(url, app, user, password) as client:
        async with client.on_channel_event("StasisStart") as calls:
            async for found, event in calls:
                channel = found["channel"]
                # aiter() opens the channel's queue at once, so that no digit is missed.
                state, events = event["channel"]["state"], aiter(channel)
                client.taskgroup.start_soon(guarded, channel, state, events)


env = os.environ.get
anyio.run(main, env("ARI_URL", "http://127.0.0.1:8088/"), env("ARI_USER", "demo"),
          env("ARI_PASSWORD", ""), sys.argv[1] if len(sys.argv) > 1 else "main")
