// What every test of the page needs: the real program with data, and a browser.
import { start } from './program.mjs';
import { launch, open } from './browser.mjs';
import { fill, hostile, large, log, logs } from './data.mjs';

export async function build() {
  const program = await start();
  const now = Date.now();
  await fill(program, now);
  const big = large(now);
  for (const request of big.requests) await program.send('traces', request);
  await program.send('logs', big.logs);
  const bad = hostile(now);
  await program.send('logs', bad.logs);
  await program.send('traces', bad.traces);
  await program.send('logs', logs('till', [log({ at: now - 5000, text: 'a line of acme' })]), 'acme');
  const browser = await launch();
  const failed = await sought(async () => {
    const { traces } = await (await fetch(`${program.origin}/api/traces?errors=true&limit=20&service=payment`)).json();
    return traces.find((/** @type {any} */ trace) => trace.spans < 20 && trace.services.includes('payment'));
  });
  let line = 0;
  const stand = {
    program,
    browser,
    big: big.id,
    bad: bad.trace,
    failed: /** @type {string} */ (/** @type {any} */ (failed).trace_id),
    /** @param {string} hash @param {Parameters<typeof open>[3]} [how] */
    open: (hash, how) => open(browser, how?.origin ?? program.origin, hash, how),
    /**
     * Sends log records, a few at a time, until it is told to end: `live line 1` and so on.
     * @param {{ every?: number, rows?: number, of?: import('./program.mjs').Program }} [how]
     */
    pour({ every = 100, rows = 2, of = program } = {}) {
      let goes = true;
      const round = async () => {
        line = 0;
        while (goes) {
          // Some seconds have more than others.
          const count = rows * (1 + (Math.floor(Date.now() / 3000) % 3));
          const records = Array.from({ length: count }, () =>
            log({ at: Date.now(), text: `live line ${++line}`, severity: line % 9 ? 9 : 17, pairs: { number: line } }),
          );
          await of.send('logs', logs('cart', records)).catch(() => null);
          await new Promise((done) => setTimeout(done, every));
        }
      };
      const poured = round();
      return () => ((goes = false), poured);
    },
    /** Sends records to where nobody is: dead letters, a lane that is halted, and what finds no room. */
    async lose(count = 8) {
      for (let at = 1; at <= count; at++)
        program.sendAway(logs('payment', [log({ at: Date.now(), text: `payment ${at} <b>not bold</b>` })]));
      await sought(async () => (await (await fetch(`${program.origin}/api/dead-letters`)).json()).total >= 2);
    },
    async stop() {
      await browser.close();
      await program.stop();
    },
  };
  await stand.lose();
  // The program looks at its counters once a second.
  await sought(async () => (await (await fetch(`${program.origin}/api/losses`)).json()).losses.length);
  return stand;
}

/** Asks until there is an answer. @template T @param {() => Promise<T>} ask */
async function sought(ask) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`it never came: ${ask}`);
}
/** @typedef {Awaited<ReturnType<typeof build>>} Stand */
