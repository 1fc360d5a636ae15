// The page in a real browser, against the real program. One program and one browser serve all tests; each has a page
// of its own.
import { after, afterEach, before, describe } from 'node:test';
import { build } from './stand.mjs';
import { logs } from './logs.mjs';
import { tail } from './tail.mjs';
import { traces } from './traces.mjs';
import { pipeline } from './pipeline.mjs';
import { frame } from './frame.mjs';
import { hostility } from './hostility.mjs';

/** @type {import('./stand.mjs').Stand} */
let stand;
before(async () => (stand = await build()), { timeout: 180_000 });
after(() => stand?.stop());
afterEach(() => void stand.server.reset());
const given = () => stand;

for (const [name, tests] of Object.entries({ logs, tail, traces, pipeline, frame, hostility }))
  describe(name, () => tests(given));
