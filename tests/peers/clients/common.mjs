// What the Node clients share: where to connect, and one JSON line on standard output per step.
export const url = new URL(process.env.ARI_URL ?? 'http://127.0.0.1:8088');
export const user = process.env.ARI_USER ?? 'ivr';
export const password = process.env.ARI_PASSWORD ?? 'secret';
export const app = process.env.ARI_APP ?? 'main';

export function step(name, fields = {}) {
  process.stdout.write(`${JSON.stringify({ step: name, ...fields })}\n`);
}

// A variable that is not set answers 404 (or an empty value): both mean "nothing".
export async function orNothing(promise) {
  try {
    return (await promise)?.value ?? '';
  } catch {
    return '';
  }
}

// Commands of one call go one after the other, in the order of its events.
export function inOrder() {
  let last = Promise.resolve();
  return (work) => {
    last = last.then(work).catch((error) => step('error', { message: String(error?.message ?? error) }));
    return last;
  };
}
