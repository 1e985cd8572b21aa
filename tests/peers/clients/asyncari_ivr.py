"""The test IVR on PyPI `asyncari`: answer, prompt, digits into a variable, `#` hangs up."""

import json
import logging
import os

import anyio
import asyncari

URL = os.environ.get("ARI_URL", "http://127.0.0.1:8088") + "/"
USER = os.environ.get("ARI_USER", "ivr")
PASSWORD = os.environ.get("ARI_PASSWORD", "secret")
APP = os.environ.get("ARI_APP", "main")

# The library logs every WebSocket ping as an unknown message.
logging.basicConfig(level=logging.CRITICAL)


def step(name, **fields):
    print(json.dumps({"step": name, **fields}), flush=True)


async def get(channel, variable):
    """The value of a variable; nothing when it is not set."""
    try:
        return (await channel.getChannelVar(variable=variable)).get("value", "")
    except Exception:  # 404 arrives as the HTTP library's own error
        return ""


async def serve(channel, state, events):
    digits = await get(channel, "GW_CHECKPOINT")
    handled = 0
    step("start", channel=channel.id, state=state, digits=digits)
    if state != "Up":
        await channel.answer()
    step("answered")
    playback = await channel.play(media="sound:resume" if digits else "sound:menu")
    step("playing", playback=playback.id)
    async for event in events:
        if event.type == "PlaybackFinished":
            step("played")
        elif event.type == "ChannelDtmfReceived" and event.digit == "#":
            await channel.hangup()
            step("hangup", digits=digits)
        elif event.type == "ChannelDtmfReceived":
            digits += event.digit
            handled += 1
            await channel.setChannelVar(variable="GW_CHECKPOINT", value=digits)
            await channel.setChannelVar(variable="GW_ACK", value=str(handled))
            variable = await get(channel, "GW_CHECKPOINT")
            step("digit", digit=event.digit, digits=digits, variable=variable)
    # The library ends the channel's queue when the channel leaves.
    step("end", channel=channel.id)


async def guarded(*args):
    """One call that fails must not take the others with it."""
    try:
        await serve(*args)
    except Exception as error:
        step("error", message=repr(error))


async def main():
    async with asyncari.connect(URL, APP, USER, PASSWORD) as client:
        async with client.on_channel_event("StasisStart") as calls:
            step("connected")
            async for objects, event in calls:
                channel = objects["channel"]
                # Iterating opens the channel's queue: before it, its events are dropped.
                client.taskgroup.start_soon(
                    guarded, channel, event["channel"]["state"], aiter(channel)
                )


anyio.run(main)
