// A small IVR (menu, PIN, transfer) on the public ARI client `ari-client`: npm install ari-client
//
// After each digit it stores where it stands: GW_CHECKPOINT is handed to whoever takes the call
// over when this process hangs or dies, and GW_ACK says which digits need not be delivered again.
//
//     ARI_URL=http://127.0.0.1:8088 ARI_USER=demo ARI_PASSWORD=... node ivr.mjs main
import ariClient from 'ari-client';

const PIN = '1234';

// Where the caller stands next, and what to do. `at` is the checkpoint: "menu", or "pin:" and the
// digits so far.
function press(at, key) {
  if (at === 'menu') {
    const choices = {
      1: { at: 'pin:', play: 'pin' },
      2: { at, transfer: '2001' },
      '#': { at, hangup: true },
    };
    return choices[key] ?? { at, play: 'wrong' };
  }
  const typed = at + key;
  if (typed.length < `pin:${PIN}`.length) return { at: typed };
  return typed === `pin:${PIN}` ? { at: 'menu', play: 'right' } : { at: 'pin:', play: 'wrong' };
}

async function serve(channel, state, keys) {
  const get = channel.getChannelVar({ variable: 'GW_CHECKPOINT' });
  let at = await get.then(({ value }) => value || 'menu', () => 'menu'); // 404: a new call
  const set = (variable, value) => channel.setChannelVar({ variable, value });
  if (state !== 'Up') await channel.answer();
  await channel.play({ media: at === 'menu' ? 'sound:menu' : 'sound:pin' });
  let handled = 0;
  for await (const key of keys) {
    const next = press(at, key);
    at = next.at;
    await set('GW_CHECKPOINT', at);
    await set('GW_ACK', String(++handled));
    if (next.play) await channel.play({ media: `sound:${next.play}` });
    if (next.transfer) await channel.redirect({ endpoint: `PJSIP/${next.transfer}` });
    if (next.hangup) await channel.hangup();
  }
}

// The keys of one call as they come, from now on and until it ends.
function keysOf(channel) {
  const waiting = [];
  let wake = () => {};
  const push = (key) => { waiting.push(key); wake(); };
  channel.on('ChannelDtmfReceived', (event) => push(event.digit));
  channel.on('StasisEnd', () => push(null));
  return (async function* keys() {
    for (;;) {
      while (waiting.length === 0) await new Promise((resolve) => { wake = resolve; });
      const key = waiting.shift();
      if (key === null) return;
      yield key;
    }
  })();
}

const { ARI_URL = 'http://127.0.0.1:8088', ARI_USER = 'demo', ARI_PASSWORD = '' } = process.env;
const client = await ariClient.connect(ARI_URL, ARI_USER, ARI_PASSWORD);
client.on('StasisStart', (event, channel) => {
  // 404: the call is over, or somebody else's. The others go on.
  const done = serve(channel, event.channel.state, keysOf(channel));
  done.catch((error) => console.error(channel.id, error.message));
});
client.start(process.argv[2] ?? 'main');
