// A small IVR (menu, PIN, transfer) on the public ARI client `ari-client`: npm install ari-client
//
// After each digit it stores where it stands: GW_CHECKPOINT is handed to whoever takes the call
// over when this process hangs or dies, and GW_ACK says which digits need not be delivered again.
//
//     ARI_URL=http://127.0.0.1:8088 ARI_USER=demo ARI_PASSWORD=... node ivr.mjs main
import ariClient from 'ari-client';

const PIN = '1234';

// Where a caller stands: `at` is the menu or the PIN, `typed` the digits of the PIN so far.
class Dialog {
  constructor(checkpoint) {
    Object.assign(this, { at: 'menu', typed: '' }, checkpoint ? JSON.parse(checkpoint) : {});
  }

  checkpoint() {
    return JSON.stringify({ at: this.at, typed: this.typed });
  }

  // Moves on, and says what to do.
  press(key) {
    if (this.at === 'menu') {
      if (key === '2') return { transfer: '2001' };
      if (key === '#') return { hangup: true };
      if (key !== '1') return { play: 'wrong' };
      this.at = 'pin';
      return { play: 'pin' };
    }
    this.typed += key;
    if (this.typed.length < PIN.length) return {};
    const right = this.typed === PIN;
    Object.assign(this, { at: right ? 'menu' : 'pin', typed: '' });
    return { play: right ? 'right' : 'wrong' };
  }
}

async function serve(channel, state, keys) {
  const stored = await channel.getChannelVar({ variable: 'GW_CHECKPOINT' }).catch(() => ({}));
  const dialog = new Dialog(stored.value);
  const set = (variable, value) => channel.setChannelVar({ variable, value });
  if (state !== 'Up') await channel.answer();
  await channel.play({ media: `sound:${dialog.at}` });
  let handled = 0;
  for await (const key of keys) {
    const action = dialog.press(key);
    await set('GW_CHECKPOINT', dialog.checkpoint());
    await set('GW_ACK', String(++handled));
    if (action.play) await channel.play({ media: `sound:${action.play}` });
    if (action.transfer) await channel.redirect({ endpoint: `PJSIP/${action.transfer}` });
    if (action.hangup) await channel.hangup();
  }
}

// The keys of one call as they come, until it ends.
async function* keysOf(channel) {
  const waiting = [];
  let wake = () => {};
  const push = (key) => { waiting.push(key); wake(); };
  channel.on('ChannelDtmfReceived', (event) => push(event.digit));
  channel.on('StasisEnd', () => push(null));
  for (;;) {
    while (waiting.length === 0) await new Promise((resolve) => { wake = resolve; });
    const key = waiting.shift();
    if (key === null) return;
    yield key;
  }
}

const { ARI_URL = 'http://127.0.0.1:8088', ARI_USER = 'demo', ARI_PASSWORD = '' } = process.env;
const client = await ariClient.connect(ARI_URL, ARI_USER, ARI_PASSWORD);
client.on('StasisStart', (event, channel) => {
  serve(channel, event.channel.state, keysOf(channel)).catch((error) => console.error(error.message));
});
client.start(process.argv[2] ?? 'main');
