// The test IVR on npm `ari-client`: answer, prompt, digits into a variable, `#` hangs up.
import ariClient from 'ari-client';
import { app, inOrder, orNothing, password, step, url, user } from './common.mjs';

const client = await ariClient.connect(url.origin, user, password);

client.on('StasisStart', (event, channel) => {
  const run = inOrder();
  const get = (variable) => orNothing(channel.getChannelVar({ variable }));
  let digits = '';
  let handled = 0;

  channel.on('ChannelDtmfReceived', ({ digit }) => run(async () => {
    if (digit === '#') {
      await channel.hangup();
      return step('hangup', { digits });
    }
    digits += digit;
    handled += 1;
    await channel.setChannelVar({ variable: 'GW_CHECKPOINT', value: digits });
    await channel.setChannelVar({ variable: 'GW_ACK', value: String(handled) });
    step('digit', { digit, digits, variable: await get('GW_CHECKPOINT') });
  }));
  channel.on('StasisEnd', () => step('end', { channel: channel.id }));

  run(async () => {
    digits = await get('GW_CHECKPOINT');
    step('start', { channel: channel.id, state: event.channel.state, digits });
    if (event.channel.state !== 'Up') await channel.answer();
    step('answered');
    const playback = client.Playback();
    playback.on('PlaybackFinished', () => step('played'));
    await channel.play({ media: `sound:${digits ? 'resume' : 'menu'}` }, playback);
    step('playing', { playback: playback.id });
  });
});

client.start(app);
client.on('WebSocketConnected', () => step('connected'));
