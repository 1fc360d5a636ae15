// What every test of the page needs: the real program with data, the server before it, a browser.
import { start } from './program.mjs';
import { serve } from './server.mjs';
import { launch, open } from './browser.mjs';
import { fill, hostile, large } from './data.mjs';

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
  const server = await serve(program.origin);
  const browser = await launch();
  const { traces } = await (await fetch(`${program.origin}/api/traces?errors=true&limit=20&service=payment`)).json();
  const failed = traces.find((/** @type {any} */ trace) => trace.spans < 20 && trace.services.includes('payment'));
  return {
    program,
    server,
    browser,
    big: big.id,
    bad: bad.trace,
    failed: /** @type {string} */ (failed.trace_id),
    /** @param {string} hash @param {Parameters<typeof open>[3]} [how] */
    open: (hash, how) => open(browser, server.origin, hash, how),
    async stop() {
      await browser.close();
      server.stop();
      await program.stop();
    },
  };
}
/** @typedef {Awaited<ReturnType<typeof build>>} Stand */
