// The test IVR on npm `@ipcom/asterisk-ari`: answer, prompt, digits into a variable, `#` hangs up.
import { AriClient } from '@ipcom/asterisk-ari';
import { app, inOrder, orNothing, password, step, url, user } from './common.mjs';

// The library logs to the console; standard output belongs to the steps.
for (const level of ['log', 'info', 'warn', 'debug']) console[level] = console.error;

const client = new AriClient({
  host: url.hostname, port: Number(url.port), username: user, password, secure: false,
});

// The library takes handlers only when it is connected.
await client.connectWebSocket([app]);
client.on('StasisStart', (event) => {
  const { id, state } = event.channel;
  const channel = client.Channel(id);
  const run = inOrder();
  const get = (name) => orNothing(client.channels.getChannelVariable(id, name));
  const set = (name, value) => client.channels.setChannelVariable(id, name, value);
  let digits = '';
  let handled = 0;

  channel.on('ChannelDtmfReceived', ({ digit }) => run(async () => {
    if (digit === '#') {
      await channel.hangup();
      return step('hangup', { digits });
    }
    digits += digit;
    handled += 1;
    await set('GW_CHECKPOINT', digits);
    await set('GW_ACK', String(handled));
    step('digit', { digit, digits, variable: await get('GW_CHECKPOINT') });
  }));
  channel.on('StasisEnd', () => step('end', { channel: id }));

  run(async () => {
    digits = await get('GW_CHECKPOINT');
    step('start', { channel: id, state, digits });
    if (state !== 'Up') await channel.answer();
    step('answered');
    const playback = await channel.play({ media: `sound:${digits ? 'resume' : 'menu'}` });
    playback.on('PlaybackFinished', () => step('played'));
    step('playing', { playback: playback.id });
  });
});

step('connected');
