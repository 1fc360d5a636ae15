// A trace as a tree. Any number of spans, in any order, with parents that are missing or form a ring; nothing here
// calls itself.
import { nanos } from '../../time.js';
import { shown } from '../../text.js';

/**
 * @typedef {{ row: Row, start: number, end: number, depth: number, parent: Node | null, children: Node[],
 *   logs: Row[], below: number,
 *   failed: boolean, failedBelow: boolean, critical: boolean,
 *   searched: string | null }} Node  start and end: nanoseconds since the trace began
 * @typedef {{ nodes: Node[], roots: Node[], loose: Row[], began: bigint, length: number, services: string[],
 *   depth: number }} Tree
 * @typedef {{ node: Node, log: null } | { node: Node | null, log: Row, depth: number, offset: number }} Line
 */

/** @param {Row} row */
export const hasFailed = (row) =>
  row.severity === 'error' || row.status?.code === 2 || row.status?.code === 'STATUS_CODE_ERROR';

/** @param {Row[]} spans @param {Row[]} logs @returns {Tree} */
export function build(spans, logs) {
  const starts = spans.map((row) => nanos(row.time));
  const began = [...starts, ...(spans.length ? [] : logs.map((row) => nanos(row.time)))].reduce(
    (least, one) => (one < least ? one : least),
    starts[0] ?? nanos(logs[0]?.time),
  );
  const nodes = spans.map((row, at) => {
    const start = Number(starts[at] - began);
    const end = Math.max(row.end ? Number(nanos(row.end) - began) : start, start);
    return /** @type {Node} */ ({
      row,
      start,
      end,
      depth: 0,
      parent: null,
      children: [],
      logs: [],
      below: 0,
      failed: hasFailed(row),
      failedBelow: false,
      critical: false,
      searched: null,
    });
  });
  /** @type {Map<string, Node>} */
  const byId = new Map();
  for (const node of nodes) if (node.row.span_id && !byId.has(node.row.span_id)) byId.set(node.row.span_id, node);
  for (const node of nodes) {
    const parent = byId.get(node.row.parent_span_id ?? '');
    if (parent && parent !== node) node.parent = parent;
  }
  cutRings(nodes);
  const roots = [];
  for (const node of nodes) node.parent ? node.parent.children.push(node) : roots.push(node);
  const byStart = (/** @type {Node} */ one, /** @type {Node} */ other) =>
    one.start - other.start || other.end - one.end;
  roots.sort(byStart);
  for (const node of nodes) node.children.sort(byStart);
  const loose = [];
  for (const log of logs) {
    const node = byId.get(log.span_id);
    node ? node.logs.push(log) : loose.push(log);
  }
  const order = inOrder(roots);
  for (const node of order) node.depth = node.parent ? node.parent.depth + 1 : 0;
  for (const node of order.toReversed()) {
    if (!node.parent) continue;
    node.parent.below += node.below + 1;
    if (node.failed || node.failedBelow) node.parent.failedBelow = true;
  }
  for (const root of roots) markCritical(root);
  const length = nodes.reduce((most, node) => Math.max(most, node.end), 1);
  const services = [...new Set(order.map((node) => node.row.service))];
  return {
    nodes: order,
    roots,
    loose,
    began,
    length,
    services,
    depth: order.reduce((most, node) => Math.max(most, node.depth), 0),
  };
}

/** A span whose ancestors come back to it stands for itself. @param {Node[]} nodes */
function cutRings(nodes) {
  /** @type {Map<Node, Node>} node -> the walk that saw it */
  const seen = new Map();
  for (const first of nodes) {
    for (let node = /** @type {Node | null} */ (first); node && !seen.has(node); node = node.parent) {
      seen.set(node, first);
      if (node.parent && seen.get(node.parent) === first) node.parent = null;
    }
  }
}

/** Parents before children, as they stand below each other. @param {Node[]} roots */
function inOrder(roots) {
  const order = [];
  const stack = roots.toReversed();
  for (let node = stack.pop(); node; node = stack.pop()) {
    order.push(node);
    for (let at = node.children.length - 1; at >= 0; at--) stack.push(node.children[at]);
  }
  return order;
}

/**
 * What the end of the root waited for: from its end backwards, at each moment the child that ended last before it.
 * @param {Node} root
 */
function markCritical(root) {
  const stack = [{ node: root, until: root.end }];
  for (let one = stack.pop(); one; one = stack.pop()) {
    one.node.critical = true;
    let now = Math.min(one.node.end, one.until);
    for (const child of [...one.node.children].sort((a, b) => b.end - a.end)) {
      if (child.start >= now || child.end <= one.node.start) continue;
      stack.push({ node: child, until: Math.min(child.end, now) });
      now = child.start;
    }
  }
}

/**
 * What stands below each other: spans, and between them in order of time their log records.
 * @param {Tree} tree @param {Set<Node>} folded @param {boolean} withLogs @returns {Line[]}
 */
export function lines(tree, folded, withLogs) {
  /** @type {Line[]} */
  const all = [];
  const offset = (/** @type {Row} */ log) => Number(nanos(log.time) - tree.began);
  /** @param {Node | null} node @param {Node[]} children @param {Row[]} logs */
  const below = (node, children, logs) => {
    /** @type {Line[]} */
    const mixed = children.map((child) => ({ node: child, log: null }));
    if (withLogs)
      for (const log of logs) mixed.push({ node, log, depth: node ? node.depth + 1 : 0, offset: offset(log) });
    const at = (/** @type {Line} */ line) => (line.log ? line.offset : line.node.start);
    return mixed.sort((one, other) => at(other) - at(one));
  };
  const stack = below(null, tree.roots, tree.loose);
  for (let line = stack.pop(); line; line = stack.pop()) {
    all.push(line);
    if (line.log === null && !folded.has(line.node))
      for (const child of below(line.node, line.node.children, line.node.logs)) stack.push(child);
  }
  return all;
}

/**
 * Whether a span has a text in its name, service or attributes.
 * @param {Node} node
 * @param {string} text in small letters
 */
export function matches(node, text) {
  if (node.searched === null) {
    const { body, service, span_id, attributes, resource, status, events } = node.row;
    const pairs = [attributes, resource].flatMap((values) =>
      Object.entries(values).map(([name, value]) => `${name}=${shown(value)}`),
    );
    const told = (events ?? []).map((event) => event.name ?? '');
    node.searched = [
      body,
      service,
      span_id,
      status?.message ?? '',
      ...pairs,
      ...told,
      ...node.logs.map((log) => log.body),
    ]
      .join('\n')
      .toLowerCase();
  }
  return node.searched.includes(text);
}
