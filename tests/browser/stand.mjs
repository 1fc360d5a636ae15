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
  const { traces } = await (await fetch(`${program.origin}/api/traces?errors=true&limit=20&service=payment`)).json();
  const failed = traces.find((/** @type {any} */ trace) => trace.spans < 20 && trace.services.includes('payment'));
  let line = 0;
  return {
    program,
    browser,
    big: big.id,
    bad: bad.trace,
    failed: /** @type {string} */ (failed.trace_id),
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
          const records = Array.from({ length: rows }, () =>
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
      for (;;) {
        const { total } = await (await fetch(`${program.origin}/api/dead-letters`)).json();
        if (total >= 2) return;
        await new Promise((done) => setTimeout(done, 50));
      }
    },
    async stop() {
      await browser.close();
      await program.stop();
    },
  };
}
/** @typedef {Awaited<ReturnType<typeof build>>} Stand */
