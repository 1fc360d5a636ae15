// Telemetry of a shop, the same on every run but for the time: requests of OTLP as JSON.

const NANOS = 1_000_000n;
/** @param {string | number | boolean} value */
const value = (value) =>
  typeof value === 'number'
    ? { intValue: String(value) }
    : typeof value === 'boolean'
      ? { boolValue: value }
      : { stringValue: value };
/** @param {Record<string, string | number | boolean>} pairs */
const attributes = (pairs) => Object.entries(pairs).map(([key, one]) => ({ key, value: value(one) }));
/** @param {number} number @param {number} digits */
const hex = (number, digits) => number.toString(16).padStart(digits, '0');
/** @param {number} trace */
export const traceId = (trace) => hex(trace, 32).replace(/^0{8}/, '5b8efff7');
/** @param {number} millis since 1970 */
const nanos = (millis) => String(BigInt(Math.round(millis * 1000)) * (NANOS / 1000n));

/** A sequence that is the same on every run. @param {number} seed */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** @param {string} service @param {object[]} records @returns {object} */
export function logs(service, records) {
  return {
    resourceLogs: [
      {
        resource: {
          attributes: attributes({
            'service.name': service,
            'host.name': `node-${service.length % 4}`,
            'k8s.pod.name': `${service}-7c9d4f`,
          }),
        },
        scopeLogs: [{ scope: { name: 'shop' }, logRecords: records }],
      },
    ],
  };
}

/**
 * @param {{ at: number, text: string, severity?: number, trace?: string, span?: string, pairs?: Record<string,
 *   string | number | boolean> }} of
 */
export const log = ({ at, text, severity = 9, trace, span, pairs = {} }) => ({
  timeUnixNano: nanos(at),
  severityNumber: severity,
  body: { stringValue: text },
  attributes: attributes(pairs),
  ...(trace ? { traceId: trace, spanId: span ?? '' } : {}),
});

/**
 * @typedef {{ trace: string, id: string, parent?: string, name: string, service: string, at: number, took: number,
 *   failed?: string, kind?: number, pairs?: Record<string, string | number | boolean>, events?: object[] }} Span
 */

/** @param {Span[]} spans @returns {object} */
export function traces(spans) {
  const services = [...new Set(spans.map((span) => span.service))];
  return {
    resourceSpans: services.map((service) => ({
      resource: { attributes: attributes({ 'service.name': service, 'host.name': `node-${service.length % 4}` }) },
      scopeSpans: [
        {
          scope: { name: 'shop' },
          spans: spans
            .filter((span) => span.service === service)
            .map((span) => ({
              traceId: span.trace,
              spanId: span.id,
              parentSpanId: span.parent ?? '',
              name: span.name,
              kind: span.kind ?? 1,
              startTimeUnixNano: nanos(span.at),
              endTimeUnixNano: nanos(span.at + span.took),
              attributes: attributes(span.pairs ?? {}),
              status: span.failed ? { code: 2, message: span.failed } : {},
              events: span.events ?? [],
            })),
        },
      ],
    })),
  };
}

const ROUTES = ['GET /', 'GET /product/{id}', 'POST /cart', 'POST /checkout', 'GET /cart'];

/**
 * One request to the shop: spans and log records.
 * @param {number} number @param {number} at milliseconds since 1970 @param {() => number} roll
 */
export function visit(number, at, roll) {
  const trace = traceId(number);
  const route = ROUTES[Math.floor(roll() * ROUTES.length)];
  const fails = number % 17 === 3;
  let next = number * 64;
  const id = () => hex(++next, 16);
  /** @type {Span[]} */
  const spans = [];
  /** @type {{ service: string, record: object }[]} */
  const records = [];
  /**
   * @param {string | undefined} parent
   * @param {string} service
   * @param {string} name
   * @param {number} from
   * @param {number} took
   * @param {Partial<Span>} [more]
   */
  const span = (parent, service, name, from, took, more = {}) => {
    const one = { trace, id: id(), parent, service, name, at: from, took, ...more };
    spans.push(one);
    return one.id;
  };
  const say = (
    /** @type {string} */ service,
    /** @type {string} */ of,
    /** @type {number} */ when,
    /** @type {string} */ text,
    severity = 9,
    pairs = {},
  ) => records.push({ service, record: log({ at: when, text, severity, trace, span: of, pairs }) });
  const total = 60 + roll() * 240;
  const root = span(undefined, 'frontend', route, at, total, {
    kind: 2,
    pairs: {
      'http.request.method': route.split(' ')[0],
      'http.route': route.split(' ')[1],
      'http.response.status_code': fails ? 500 : 200,
    },
    ...(fails ? { failed: 'checkout failed' } : {}),
  });
  say('frontend', root, at + 1, `${route} from 10.0.${number % 250}.7`, 9, {
    'user.id': `u${number % 40}`,
    'http.route': route.split(' ')[1],
  });
  const cart = span(root, 'cart', 'cart.Get', at + 4, total * 0.25, {
    kind: 3,
    pairs: { 'user.id': `u${number % 40}`, 'cart.items': number % 9 },
  });
  span(cart, 'cart', 'redis HGETALL', at + 7, total * 0.12, {
    kind: 3,
    pairs: { 'db.system': 'redis', 'db.statement': 'HGETALL cart:*' },
  });
  say('cart', cart, at + 8, `cart of u${number % 40} has ${number % 9} items`, number % 3 ? 5 : 9, {
    'cart.items': number % 9,
  });
  const checkout = span(
    root,
    'checkout',
    'checkout.PlaceOrder',
    at + total * 0.3,
    total * 0.62,
    fails ? { failed: 'payment declined' } : {},
  );
  const quote = span(checkout, 'shipping', 'shipping.Quote', at + total * 0.32, total * 0.1, {
    pairs: { country: ['DE', 'FR', 'JP'][number % 3] },
  });
  span(quote, 'shipping', 'GET /rates', at + total * 0.34, total * 0.06, { kind: 3 });
  const pay = span(checkout, 'payment', 'payment.Charge', at + total * 0.45, total * 0.42, {
    kind: 2,
    pairs: { 'card.brand': ['visa', 'amex', 'jcb'][number % 3], amount: 1000 + number },
    ...(fails ? { failed: 'insufficient_funds' } : {}),
    events: fails
      ? [
          {
            timeUnixNano: nanos(at + total * 0.8),
            name: 'exception',
            attributes: attributes({ 'exception.type': 'CardDeclined', 'exception.message': 'insufficient_funds' }),
          },
        ]
      : [],
  });
  span(pay, 'payment', 'POST bank.example/charge', at + total * 0.5, total * 0.33, { kind: 3 });
  if (fails)
    say('payment', pay, at + total * 0.81, `card declined: insufficient_funds (order ${number})`, 17, {
      'order.id': number,
      'card.brand': 'visa',
    });
  else say('payment', pay, at + total * 0.8, `charged order ${number}`, 9, { 'order.id': number });
  if (number % 11 === 0)
    say('checkout', checkout, at + total * 0.9, `slow upstream shipping, ${Math.round(total)} ms`, 13, {
      upstream: 'shipping',
    });
  return { spans, records };
}

/**
 * Visits over the last fifty minutes, some more of them in the middle.
 * @param {{ send: (signal: 'logs' | 'traces',
 *   request: object) => Promise<void> }} program @param {number} now @param {number} [visits]
 */
export async function fill(program, now, visits = 900) {
  const roll = dice(7);
  /** @type {Span[]} */
  let spans = [];
  /** @type {Map<string, object[]>} */
  let records = new Map();
  for (let number = 1; number <= visits; number++) {
    const part = number / visits;
    const at = now - 50 * 60_000 * (1 - (part + 0.06 * Math.sin(part * 12))) - roll() * 20_000 - 5000;
    const one = visit(number, at, roll);
    spans.push(...one.spans);
    for (const { service, record } of one.records) records.set(service, [...(records.get(service) ?? []), record]);
    if (number % 150 && number < visits) continue;
    await program.send('traces', traces(spans));
    for (const [service, list] of records) await program.send('logs', logs(service, list));
    [spans, records] = [[], new Map()];
  }
}

/** Ten thousand spans, some hundred deep, with log records. @param {number} now */
export function large(now) {
  const trace = traceId(0xbeef);
  const roll = dice(3);
  /** @type {Span[]} */
  const spans = [];
  const at = now - 120_000;
  const id = (/** @type {number} */ number) => hex(0x700000 + number, 16);
  const services = ['frontend', 'cart', 'checkout', 'payment', 'shipping', 'catalog', 'search'];
  for (let number = 0; number < 10_000; number++) {
    const parent = number === 0 ? undefined : number < 300 ? number - 1 : Math.floor(roll() * number);
    spans.push({
      trace,
      id: id(number),
      parent: parent === undefined ? undefined : id(parent),
      service: services[number % services.length],
      name: number < 300 ? `step ${number} of a recursion that is deep` : `item.Process #${number}`,
      at: at + (number < 300 ? number : 300 + roll() * 4000),
      took: number < 300 ? 6000 - number * 10 : 1 + roll() * 80,
      ...(number % 997 === 5 ? { failed: 'lost the race' } : {}),
      pairs: { 'item.number': number, shard: `s${number % 16}` },
    });
  }
  const records = Array.from({ length: 60 }, (_, number) =>
    log({
      at: at + number * 70,
      text: `pass ${number} done`,
      severity: number % 20 === 9 ? 17 : 9,
      trace,
      span: id(number * 5),
    }),
  );
  return {
    id: trace,
    requests: [0, 2500, 5000, 7500].map((from) => traces(spans.slice(from, from + 2500))),
    logs: logs('catalog', records),
  };
}

/** Lines that would harm a page that trusts them. @type {Record<string, string>} */
export const HOSTILE = {
  image: '<img src=x onerror="window.hurt=1"> picture',
  script: '<script>window.hurt=1</script> </script><svg onload=window.hurt=1>',
  link: 'javascript:window.hurt=1 <a href="javascript:window.hurt=1">click</a>',
  ansi: '\u001b[31mred\u001b[0m \u001b]8;;http://x\u0007link\u001b]8;;\u0007 \u0000nul \u0008bell\u0007',
  bidi: 'invoice \u202egpj.exe\u202c \u2066hidden\u2069 \u200f end',
  template: '${window.hurt=1} {{constructor.constructor("window.hurt=1")()}} `',
  broken: 'lone \ud800 surrogate'.toWellFormed?.() ?? 'lone',
  lines: 'first\nsecond\r\nthird\ttab',
  long: `a long line ${'x'.repeat(1 << 20)} the end`,
};

/** @param {number} now */
export function hostile(now) {
  const records = Object.entries(HOSTILE).map(([name, text], at) =>
    log({
      at: now - 30_000 + at,
      text,
      severity: 13,
      trace: traceId(0xbad),
      span: hex(0xbad, 16),
      pairs: {
        'kind.of': name,
        '<b onclick=window.hurt=1>': HOSTILE.image,
        ['__proto__']: 'p',
        constructor: HOSTILE.script,
      },
    }),
  );
  const span = {
    trace: traceId(0xbad),
    id: hex(0xbad, 16),
    service: '<img src=x onerror=window.hurt=1>',
    name: HOSTILE.script,
    at: now - 30_000,
    took: 50,
    failed: HOSTILE.image,
    pairs: { [HOSTILE.image]: HOSTILE.script },
  };
  return { logs: logs('<img src=x onerror=window.hurt=1>', records), traces: traces([span]), trace: span.trace };
}
