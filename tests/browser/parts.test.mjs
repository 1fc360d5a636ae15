// Tests of the page's parts that need no browser.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { clock, duration, exact, nanos, readDuration, readWindow } from '../../ui/src/time.js';
import { conditions, quoted, spot, traceId, withCondition } from '../../ui/src/query.js';
import { bytes, line, short, visible } from '../../ui/src/text.js';
import { read } from '../../ui/src/events.js';
import { build, lines, matches } from '../../ui/src/views/trace/tree.js';
import { rate, withState } from '../../ui/src/views/flow/rates.js';

// Scenario: times as digits, numbers and RFC 3339, beyond 2^53. Guarantee: no nanosecond is lost, and what is no
// time is 0.
test('times keep their nanoseconds', () => {
  assert.equal(nanos('2024-12-31T23:59:59.000000007Z'), 1735689599000000007n);
  assert.equal(exact(1735689599000000007n), '2024-12-31T23:59:59.000000007Z');
  assert.equal(nanos('1735689599000000007'), 1735689599000000007n);
  assert.equal(nanos('2024-12-31T23:59:59.5+01:00'), 1735685999500000000n);
  for (const wrong of ['', 'yesterday', null, NaN, '2024-13-41T00:00:00Z']) assert.equal(nanos(wrong), 0n);
  assert.match(clock(1735689599123456789n, { digits: 6, day: true }), /^\d\d-\d\d \d\d:\d\d:\d\d\.123456$/);
});

// Scenario: lengths of time, both ways. Guarantee: three digits and a unit; what is no length is null.
test('durations are written and read', () => {
  assert.deepEqual([0, 7, 1500, 2.5e6, 61e9, 5400e9].map(duration), [
    '0',
    '7 ns',
    '1.5 µs',
    '2.5 ms',
    '1.02 min',
    '1.5 h',
  ]);
  assert.deepEqual(['250ms', '1.5 s', '2m', '1h', '7d', 'fast', '5', ''].map(readDuration), [
    250_000_000n,
    1_500_000_000n,
    120_000_000_000n,
    3_600_000_000_000n,
    604_800_000_000_000n,
    null,
    null,
    null,
  ]);
});

// Scenario: windows in addresses, also nonsense. Guarantee: a window that is not empty, always.
test('the window of an address', () => {
  const of = (/** @type {string} */ query) => readWindow(new URLSearchParams(query), 1_000_000);
  assert.equal(of('range=15m').end - of('range=15m').start, 900_000_000_000n);
  assert.deepEqual(of('from=5&to=9'), { start: 5n, end: 9n });
  for (const query of ['', 'from=9&to=5', 'range=x', 'from=x&to=y'])
    assert.equal(of(query).end - of(query).start, 3_600_000_000_000n);
});

// Scenario: conditions are added to expressions with quotes. Guarantee: one stands once, its contrary goes, quoted
// texts stay whole.
test('conditions of an expression', () => {
  assert.deepEqual(conditions('a "b c" -d:"e \\" f"  g'), ['a', '"b c"', '-d:"e \\" f"', 'g']);
  assert.equal(withCondition('x service:cart', 'service:cart', true), 'x -service:cart');
  assert.equal(withCondition('x -service:cart', 'service:cart', false), 'x service:cart');
  assert.deepEqual(['cart', 'a b', '', '*', 'a"b\\', '<img>', '/x?y=1'].map(quoted), [
    'cart',
    '"a b"',
    '""',
    '"*"',
    '"a\\"b\\\\"',
    '"<img>"',
    '/x?y=1',
  ]);
});

// Scenario: what is written at the caret. Guarantee: name, sign and value are told apart, also behind `-` and in
// quotes.
test('the spot of a completion', () => {
  assert.deepEqual(spot('a ser', 5), { from: 2, to: 5, field: null, typed: 'ser', not: '' });
  assert.deepEqual(spot('-service:ca', 11), { from: 9, to: 11, field: 'service', typed: 'ca', not: '-' });
  assert.equal(spot('x:"a b', 6).typed, 'a b');
});

// Scenario: ids, traceparents, and what looks like them. Guarantee: only whole ids are ids.
test('ids of traces are recognised', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736';
  for (const text of [
    id,
    id.toUpperCase(),
    ` 00-${id}-00f067aa0ba902b7-01 `,
    `traceparent: 00-${id}-00f067aa0ba902b7-01`,
    `trace:${id}`,
  ])
    assert.equal(traceId(text), id);
  for (const text of ['', id.slice(1), `${id}0`, '0'.repeat(32), `x ${id}`]) assert.equal(traceId(text), null);
});

// Scenario: texts with signs that act. Guarantee: each has a picture or its name; long ones are cut.
test('nothing hides in a text', () => {
  assert.equal(visible('\u001b[1m\u0000\u202e\u009b\r\nx\ty'), '␛[1m␀⟨U+202E⟩␡␍\nx\ty');
  assert.equal(line('a\nb'), 'a ⏎ b');
  assert.equal(line('x'.repeat(700)).length, 601);
  assert.deepEqual([0, 12.34, 999, 12_345, 4.2e6].map(short), ['0', '12.3', '999', '12.3 k', '4.2 M']);
  assert.deepEqual([5, 1536, 1 << 20].map(bytes), ['5 B', '1.5 KiB', '1 MiB']);
});

// Scenario: events of a stream, with heartbeats and data in several lines. Guarantee: as the standard reads them.
test('server-sent events', () => {
  assert.equal(read(': heartbeat'), null);
  assert.deepEqual(read('event: rows\ndata: {"a":\ndata: 1}'), { event: 'rows', data: '{"a":\n1}' });
});

const span = (
  /** @type {string} */ id,
  /** @type {string} */ parent,
  /** @type {number} */ from,
  /** @type {number} */ to,
  /** @type {any} */ more = {},
) =>
  /** @type {any} */ ({
    id,
    span_id: id,
    parent_span_id: parent,
    time: String(1_000_000n + BigInt(from)),
    end: String(1_000_000n + BigInt(to)),
    service: 's',
    body: id,
    attributes: {},
    resource: {},
    severity: 'none',
    ...more,
  });
const log = (/** @type {string} */ id, /** @type {string} */ of, /** @type {number} */ at) =>
  /** @type {any} */ ({ id, span_id: of, time: String(1_000_000n + BigInt(at)), body: id, severity: 'info' });

// Scenario: a tree with logs, a parent that is missing, a ring, a span that is its own parent, one id twice.
// Guarantee: every span is once in it.
test('a trace is a tree, whatever the spans say', () => {
  const tree = build(
    [
      span('c', 'b', 6, 9),
      span('a', '', 0, 10),
      span('b', 'a', 2, 9, { severity: 'error' }),
      span('d', 'gone', 3, 4),
      span('x', 'y', 5, 6),
      span('y', 'z', 5, 6),
      span('z', 'x', 5, 6),
      span('s', 's', 7, 8),
      span('s', 'a', 7, 8),
    ],
    [log('l1', 'b', 4), log('l2', '', 1), log('l3', 'b', 7)],
  );
  assert.equal(tree.nodes.length, 9);
  assert.equal(new Set(tree.nodes).size, 9);
  assert.equal(tree.length, 10);
  const shown = lines(tree, new Set(), true).map((one) => one.log?.id ?? one.node?.row.span_id);
  assert.deepEqual(shown.slice(0, 6), ['a', 'b', 'l1', 'c', 'l3', 's']);
  assert.equal(shown.length, 12);
  const [a, b] = [
    tree.nodes.find((node) => node.row.span_id === 'a'),
    tree.nodes.find((node) => node.row.span_id === 'b'),
  ];
  assert.ok(a?.failedBelow && !a.failed && b?.failed && a.below === 3);
  assert.deepEqual(
    lines(tree, new Set([/** @type {any} */ (a)]), false).filter((one) => one.node?.parent === a),
    [],
  );
});

// Scenario: children one after the other, and one beside them. Guarantee: the critical path has those that the end
// waited for.
test('the critical path', () => {
  const tree = build(
    [
      span('root', '', 0, 100),
      span('first', 'root', 0, 40),
      span('beside', 'root', 5, 30),
      span('last', 'root', 45, 95),
      span('inner', 'last', 50, 95),
    ],
    [],
  );
  assert.deepEqual(
    tree.nodes
      .filter((node) => node.critical)
      .map((node) => node.body ?? node.row.body)
      .sort(),
    ['first', 'inner', 'last', 'root'],
  );
});

// Scenario: a chain of fifty thousand spans. Guarantee: no stack overflows, and a search goes through all of them.
test('a deep trace', () => {
  const spans = Array.from({ length: 50_000 }, (_, at) => span(`n${at}`, at ? `n${at - 1}` : '', at, 100_000 - at));
  const tree = build(spans, []);
  assert.equal(tree.depth, 49_999);
  assert.equal(lines(tree, new Set(), true).length, 50_000);
  assert.equal(tree.nodes.filter((node) => matches(node, 'n4999')).length, 11);
});

// Scenario: states of the pipeline, a restart among them. Guarantee: rates over the last seconds, none over the
// restart.
test('rates from counters', () => {
  const state = (/** @type {number} */ second, /** @type {number} */ accepted) =>
    /** @type {any} */ ({ time: String(BigInt(second) * 1_000_000_000n), receivers: [{ accepted }], exporters: [] });
  const of = (/** @type {any} */ one) => one.receivers[0].accepted;
  /** @type {any[]} */
  let states = [];
  for (const [second, accepted] of [
    [1, 0],
    [2, 100],
    [3, 300],
  ])
    states = withState(states, state(second, accepted));
  assert.equal(rate(states, of), 150);
  states = withState(states, state(4, 10));
  assert.equal(rate(states, of), null);
});
