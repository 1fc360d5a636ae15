// Answers for what the program does not answer yet, exactly in the form of the contract. Nothing else knows this
// file but `server.mjs`:
// when the program has an endpoint, its part here is taken out.

/** Rows are given the `id` that they are to have. @param {string} path @param {Buffer} body */
export function withIds(path, body) {
  if (!/^\/api\/(logs|spans|traces\/)/.test(path)) return body;
  const answer = JSON.parse(body.toString());
  for (const rows of [answer.rows, answer.spans, answer.logs])
    for (const row of Array.isArray(rows) ? rows : []) row.id ??= row.cursor;
  return Buffer.from(JSON.stringify(answer));
}

/**
 * @typedef {{ request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse, url: URL,
 *   origin: string, behaviour: import('./server.mjs').Behaviour, say: (status: number, body: object) => any }} Asked
 */

/** Answers, or not. @param {Asked} asked @returns {Promise<boolean>} */
export async function scripted(asked) {
  const answer = ANSWERS[`${asked.request.method} ${asked.url.pathname}`];
  if (!answer) return false;
  await answer(asked);
  return true;
}

const MINUTE = 60_000_000_000n;
const now = () => BigInt(Date.now()) * 1_000_000n;

/** @type {Record<string, (asked: Asked) => any>} */
const ANSWERS = {
  'GET /api/me': ({ say, behaviour }) =>
    say(200, {
      version: '0.2.0',
      started: String(now() - 90n * MINUTE),
      tenant: 'default',
      tenants: behaviour.script.tenants ?? ['default'],
      needs_token: behaviour.token !== null,
      where: { otlp_grpc: '127.0.0.1:4317', otlp_http: 'http://127.0.0.1:4318' },
    }),

  'GET /api/services': async ({ say, url, origin, behaviour }) => {
    if (behaviour.script.empty) return say(200, { services: [], complete: true });
    const [start, end] = ['start', 'end'].map((name) => url.searchParams.get(name));
    const of = async (/** @type {string} */ signal, q = '') =>
      (await fetch(`${origin}/api/histogram?signal=${signal}&start=${start}&end=${end}&buckets=1&q=${q}`)).json();
    const [spans, errors, logs, bad] = [
      await of('traces'),
      await of('traces', 'severity:error'),
      await of('logs'),
      await of('logs', 'severity>=error'),
    ];
    const seconds = Number(BigInt(end ?? 0) - BigInt(start ?? 0)) / 1e9;
    const names = [...new Set([...Object.keys(spans.services), ...Object.keys(logs.services)])];
    say(200, {
      complete: true,
      services: names.map((name, at) => ({
        name,
        spans: spans.services[name] ?? 0,
        errors: errors.services[name] ?? 0,
        rate: (spans.services[name] ?? 0) / seconds,
        p50: 20_000_000 + at * 9_000_000,
        p95: 90_000_000 + at * 23_000_000,
        p99: 180_000_000 + at * 41_000_000,
        logs: logs.services[name] ?? 0,
        log_errors: bad.services[name] ?? 0,
      })),
    });
  },

  'GET /api/logs/around': async ({ say, url, origin }) => {
    const params = url.searchParams;
    const service = params.get('service');
    const q = encodeURIComponent(service ? `service:${JSON.stringify(service)}` : '');
    const { rows } = await (await fetch(`${origin}/api/logs?limit=1000&counts=false&q=${q}`)).json();
    for (const row of rows) row.id = row.cursor;
    const at = rows.findIndex((/** @type {any} */ row) => row.id === params.get('id'));
    if (at < 0) return say(404, { error: 'there is no such record', at: null });
    const [before, after] = ['before', 'after'].map((name) => Number(params.get(name) ?? 20));
    say(200, {
      before: rows.slice(at + 1, at + 1 + before).reverse(),
      row: rows[at],
      after: rows.slice(Math.max(at - after, 0), at).reverse(),
    });
  },

  'GET /api/tail': ({ response, behaviour }) => {
    let number = 0;
    const beat = stream(response, behaviour.script.tailEvery ?? 100, (send) => {
      const rows = Array.from({ length: behaviour.script.tailRows ?? 2 }, () => tailRow(++number));
      send('rows', { rows });
      if (number % 40 === 0) send('missed', { records: 12 });
      if (number >= (behaviour.script.tailMost ?? Infinity)) clearInterval(beat);
    });
  },

  'GET /api/export': async ({ response, url, origin }) => {
    const params = new URLSearchParams(url.searchParams);
    params.delete('signal');
    params.delete('format');
    params.set('limit', '1000');
    const { rows } = await (await fetch(`${origin}/api/logs?${params}`)).json();
    response.writeHead(200, {
      'Content-Type': 'application/jsonl',
      'Content-Disposition': 'attachment; filename="bywash-logs.jsonl"',
    });
    for (const row of rows) response.write(`${JSON.stringify(row)}\n`);
    response.end();
  },

  'GET /api/losses': ({ say, url, behaviour }) => {
    const end = BigInt(url.searchParams.get('end') ?? 0);
    const first = (end / MINUTE) * MINUTE - 20n * MINUTE;
    const loss = (/** @type {bigint} */ at, /** @type {object} */ more) => ({
      start: String(first + at * MINUTE),
      end: String(first + (at + 1n) * MINUTE),
      signal: 'logs',
      ...more,
    });
    const losses =
      behaviour.script.losses === false
        ? []
        : [
            ...[0n, 1n, 2n].map((at) =>
              loss(at, {
                component: 'otlp',
                reason: 'soft_limit',
                service: 'cart',
                what: 'shed',
                records: 1100 + Number(at) * 37,
              }),
            ),
            loss(1n, { component: 'otlp', reason: 'soft_limit', service: 'frontend', what: 'shed', records: 212 }),
            loss(9n, {
              component: 'loki/audit',
              reason: 'rejected',
              service: 'payment',
              what: 'parked',
              records: 40,
            }),
            loss(2n, { component: 'otlp', reason: 'hard_limit', service: null, what: 'refused', records: 500 }),
            loss(2n, {
              signal: 'traces',
              component: 'otlp',
              reason: 'soft_limit',
              service: 'cart',
              what: 'shed',
              records: 85,
            }),
          ];
    const total = (/** @type {string} */ what) =>
      losses.filter((one) => one.what === what).reduce((all, one) => all + one.records, 0);
    say(200, {
      losses,
      total: { shed: total('shed'), refused: total('refused'), parked: total('parked'), dropped: 0 },
    });
  },

  'GET /api/pipeline': ({ say }) => say(200, pipeline(40)),
  'GET /api/pipeline/live': ({ response, behaviour }) => {
    let second = 40;
    stream(response, behaviour.script.flowEvery ?? 1000, (send) => send('state', pipeline(second++)));
  },

  'GET /api/dead-letters': ({ say, url, behaviour }) => {
    const kept = letters(behaviour).filter((one) =>
      ['exporter', 'signal'].every(
        (name) => !url.searchParams.get(name) || /** @type {any} */ (one)[name] === url.searchParams.get(name),
      ),
    );
    say(200, { letters: kept.slice(0, 100), cursor: null, total: kept.length });
  },
  'POST /api/dead-letters/replay': (asked) => settle(asked),
  'POST /api/dead-letters/discard': (asked) => settle(asked),

  'POST /api/stages/run': async ({ request, say }) => {
    const { stages, lines, labels } = await bodyOf(request);
    if (/wrong/.test(stages))
      return say(400, { error: 'line 2: unknown stage `wrong`; did you mean `json`?', at: null, line: 2 });
    const time = String(now());
    const step = (/** @type {string} */ stage, /** @type {object} */ state, /** @type {string[]} */ changed) => ({
      stage,
      labels,
      extracted: {},
      structured_metadata: {},
      timestamp: time,
      ...state,
      changed,
    });
    say(200, {
      entries: lines.map((/** @type {string} */ line) => {
        let read = /** @type {any} */ ({});
        try {
          read = JSON.parse(line);
        } catch {
          return { steps: [step('[0] json', { line }, [])], result: 'kept', reason: null };
        }
        const extracted = { level: read.level, msg: read.msg };
        const steps = [
          step('[0] json', { line, extracted }, ['extracted']),
          step('[1] labels', { line, extracted, labels: { ...labels, level: read.level } }, ['labels']),
        ];
        if (read.level === 'debug') return { steps, result: 'dropped', reason: 'debug' };
        return {
          steps: [
            ...steps,
            step('[2] drop', { line, extracted }, []),
            step('[3] output', { line: read.msg, extracted }, ['line']),
          ],
          result: 'kept',
          reason: null,
        };
      }),
    });
  },
};

/**
 * @param {import('node:http').ServerResponse} response
 * @param {number} every
 * @param {(send: (event: string, data: object) => void) => void} beat
 */
function stream(response, every, beat) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.write(': hello\n\n');
  const timer = setInterval(
    () => beat((event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)),
    every,
  );
  response.on('close', () => clearInterval(timer));
  return timer;
}

/** @param {number} number */
function tailRow(number) {
  const time = new Date().toISOString().replace('Z', String(number % 1_000_000).padStart(6, '0') + 'Z');
  return {
    id: `live-${number}`,
    cursor: `live-${number}`,
    time,
    severity: number % 9 ? 'info' : 'error',
    severity_number: number % 9 ? 9 : 17,
    service: 'cart',
    body: `live line ${number}`,
    attributes: { number },
    resource: { 'service.name': 'cart' },
    scope: '',
    trace_id: '',
    span_id: '',
  };
}

/** @param {import('./server.mjs').Behaviour} behaviour */
function letters({ script }) {
  script.letters ??= Array.from({ length: script.empty ? 0 : 6 }, (_, at) => ({
    id: `loki/audit/${at % 2 ? 'logs' : 'traces'}/${at}`,
    exporter: at < 4 ? 'loki/audit' : 'otlp_grpc/vendor',
    signal: at % 2 ? 'logs' : 'traces',
    target: at < 4 ? 'tenant-b' : 'vendor.example:4317',
    time: String(now() - BigInt(at) * 7n * MINUTE),
    reason: at % 3 ? 'rejected: entry too far behind, oldest acceptable timestamp is 2 h' : 'max_elapsed_time',
    records: 40 + at,
    bytes: 9000 + at * 977,
    preview: [1, 2].map((number) => ({
      ...tailRow(number),
      body: `payment ${number} of letter ${at} <b>not bold</b>`,
      service: 'payment',
    })),
  }));
  return script.letters;
}

/** @param {Asked} asked */
async function settle({ request, say, behaviour }) {
  if (request.headers['content-type'] !== 'application/json')
    return say(415, { error: 'the body must be application/json', at: null });
  const { ids, exporter, all } = await bodyOf(request);
  const before = letters(behaviour);
  const gone = before.filter((/** @type {any} */ one) => (all ? one.exporter === exporter : ids.includes(one.id)));
  behaviour.script.letters = before.filter((/** @type {any} */ one) => !gone.includes(one));
  say(200, { done: gone.length, failed: [] });
}

/** @param {import('node:http').IncomingMessage} request @returns {Promise<any>} */
async function bodyOf(request) {
  let text = '';
  for await (const part of request) text += part;
  return JSON.parse(text);
}

/** The state of a busy gateway, so many seconds after its start. @param {number} second */
function pipeline(second) {
  const up = (/** @type {number} */ rate) => Math.round(second * rate + Math.sin(second) * rate * 0.2);
  const lanes = (/** @type {string[]} */ names, /** @type {number} */ halted) =>
    names.map((target, at) => ({
      target,
      state: at < halted ? (at ? 'probing' : 'halted') : 'passing',
      queue: at < halted ? 4200 : 12,
      bytes: at < halted ? 9_800_000 : 30_000,
      reason: at < halted ? 'connection refused (111)' : null,
      retry_in: at < halted ? 12 : null,
    }));
  const used = 280e6 + 50e6 * Math.sin(second / 9);
  return {
    time: String(1_790_000_000_000_000_000n + BigInt(second) * 1_000_000_000n),
    budget: {
      limit: 393_216_000,
      used: Math.round(used),
      soft: 314_572_800,
      level: used > 314_572_800 ? 'soft' : 'open',
    },
    pipelines: [
      {
        id: 'logs',
        signal: 'logs',
        receivers: ['otlp', 'loki'],
        processors: ['loki_stages', 'resource'],
        exporters: ['store', 'loki/audit'],
      },
      {
        id: 'traces',
        signal: 'traces',
        receivers: ['otlp'],
        processors: ['resource'],
        exporters: ['store', 'load_balancing'],
      },
      { id: 'metrics', signal: 'metrics', receivers: ['otlp'], processors: [], exporters: ['prometheus'] },
    ],
    receivers: [
      {
        id: 'otlp',
        transport: 'grpc',
        signal: 'logs',
        accepted: up(18_400),
        refused: { hard_limit: 500 },
        shed: { soft_limit: up(160) },
      },
      { id: 'otlp', transport: 'grpc', signal: 'traces', accepted: up(5200), refused: {}, shed: { soft_limit: 85 } },
      { id: 'otlp', transport: 'http', signal: 'metrics', accepted: up(900), refused: {}, shed: {} },
      { id: 'loki', transport: 'http', signal: 'logs', accepted: up(2600), refused: { bad_data: 3 }, shed: {} },
    ],
    processors: [
      {
        id: 'loki_stages',
        pipeline: 'logs',
        signal: 'logs',
        incoming: up(21_000),
        outgoing: up(19_800),
        dropped: { drop_stage: up(1200) },
      },
      { id: 'resource', pipeline: 'logs', signal: 'logs', incoming: up(19_800), outgoing: up(19_800), dropped: {} },
      { id: 'resource', pipeline: 'traces', signal: 'traces', incoming: up(5200), outgoing: up(5200), dropped: {} },
    ],
    exporters: [
      {
        id: 'store',
        signal: 'logs',
        sent: up(19_800),
        failed: {},
        dropped: {},
        queue_size: 140,
        queue_capacity: 10_000,
        bytes: 620_000,
        spool: null,
        lanes_total: 1,
        lanes_halted: 0,
        lanes: lanes(['default'], 0),
      },
      {
        id: 'loki/audit',
        signal: 'logs',
        sent: up(6000),
        failed: { rejected: 240 },
        dropped: {},
        queue_size: 8600,
        queue_capacity: 10_000,
        bytes: 22_000_000,
        spool: { bytes: 410_000_000, limit: 2_147_483_648, records: 1_900_000 },
        lanes_total: 63,
        lanes_halted: 2,
        lanes: lanes(['tenant-b', 'tenant-c', 'tenant-a', 'tenant-d', 'tenant-e'], 2),
      },
      {
        id: 'store',
        signal: 'traces',
        sent: up(5200),
        failed: {},
        dropped: {},
        queue_size: 20,
        queue_capacity: 10_000,
        bytes: 90_000,
        spool: null,
        lanes_total: 1,
        lanes_halted: 0,
        lanes: lanes(['default'], 0),
      },
      {
        id: 'load_balancing',
        signal: 'traces',
        sent: up(5180),
        failed: {},
        dropped: {},
        queue_size: 310,
        queue_capacity: 5000,
        bytes: 700_000,
        spool: null,
        lanes_total: 3,
        lanes_halted: 0,
        lanes: lanes(['10.0.0.7:4317', '10.0.0.8:4317', '10.0.0.9:4317'], 0),
      },
      {
        id: 'prometheus',
        signal: 'metrics',
        sent: up(900),
        failed: {},
        dropped: {},
        queue_size: 0,
        queue_capacity: 0,
        bytes: 0,
        spool: null,
        lanes_total: 0,
        lanes_halted: 0,
        lanes: [],
      },
    ],
    dead_letters: { records: 246, bytes: 61_000 },
    store: { records: 41_200_000, bytes: 3_300_000_000 },
  };
}
