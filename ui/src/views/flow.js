// Flow: the pipeline while it works. What is lost is red.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../html.js';
import { listen } from '../api.js';
import { address } from '../place.js';
import { bytes, plural, short } from '../text.js';
import { Broken, Wait } from '../parts/notice.js';
import { KEPT, keyOf, rate, withState } from './flow/rates.js';
import { ExporterBox, ProcessorBox, ReceiverBox } from './flow/boxes.js';

const SIGNALS = ['logs', 'traces', 'metrics'];

/** @param {{ context: Context }} props */
export function View({ context }) {
  const [states, setStates] = useState(/** @type {PipelineState[]} */ ([]));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [isStill, setIsStill] = useState(false);
  useEffect(() => {
    if (isStill) return;
    const stop = new AbortController();
    listen(
      'pipeline/live',
      {},
      stop.signal,
      (event, data) => event === 'state' && setStates((before) => withState(before, data)),
      setError,
    );
    return () => stop.abort();
  }, [isStill, context.round]);
  const state = states.at(-1);
  if (!state) return error ? html`<div class="view"><${Broken} error=${error} /></div>` : html`<${Wait} />`;
  return html`<div class="view flow">
    <div class="tools"><${Budget} states=${states} />
      <${Stored} state=${state} />
      <span class="tools-end">${error && html`<span class="warn" role="status">${error.message}</span>`}
        <button class="small ${isStill ? '' : 'on'}" aria-pressed=${!isStill} onClick=${() => setIsStill(!isStill)}><i
        class="pulse"></i>${isStill ? 'Still' : 'Live'}</button></span></div>
    <${Picture} states=${states} state=${state} /></div>`;
}

/** @param {{ states: PipelineState[] }} props */
function Budget({ states }) {
  const { limit, used, soft, level } = /** @type {PipelineState} */ (states.at(-1)).budget;
  const part = limit ? used / limit : 0;
  const points = states
    .map(
      (state, at) =>
        `${((KEPT - states.length + at) / (KEPT - 1)) * 120},${(20 - Math.min(state.budget.used / (state.budget.limit
          || 1), 1) * 20).toFixed(1)}`,
    )
    .join(' ');
  const told = { open: 'everything enters', soft: 'routine records are shed', hard: 'senders are told to come back' }[
    level
  ];
  return html`<section class="budget ${level}" aria-label="Memory budget">
    <div class="meter" role="meter" aria-label="Used of the budget" aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(part * 100)}>
      <i style=${{ width: `${Math.min(part, 1) * 100}%` }}></i><b
      style=${{ left: `${limit ? Math.min(soft / limit, 1) * 100 : 100}%` }} title=${`Soft limit: ${bytes(soft)}`}>
        </b></div>
    <span><b>${bytes(used)}</b> of ${bytes(limit)}</span>
    <svg class="spark" viewBox="0 0 120 20" width="120" height="20" preserveAspectRatio="none" aria-hidden="true">
    <polyline points=${points} /></svg>
    <span class="level">${level === 'open' ? told : html`<b>${level}</b>: ${told}`}</span></section>`;
}

/** @param {{ state: PipelineState }} props */
function Stored({ state: { dead_letters, store } }) {
  return html`${store && html`<span class="muted">store ${short(store.records)} records, ${bytes(store.bytes)}</span>`}
    ${dead_letters && html`<a class=${dead_letters.records ? 'bad' : 'muted'} href=${address('letters')}>
    ${plural(dead_letters.records, 'dead letter')}${dead_letters.records ? `, ${bytes(dead_letters.bytes)}` : ''}
    </a>`}`;
}

/** @param {{ states: PipelineState[], state: PipelineState }} props */
function Picture({ states, state }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [wires, setWires] = useState(/** @type {Wire[]} */ ([]));
  const known = SIGNALS.filter((signal) => state.pipelines.some((one) => one.signal === signal));
  const links = useMemo(() => linksOf(state), [JSON.stringify(state.pipelines)]);
  const measure = () => place.current && setWires(wired(place.current, links, states));
  useLayoutEffect(() => void measure(), [state, links]);
  useEffect(() => {
    const sized = new ResizeObserver(measure);
    if (place.current) sized.observe(place.current);
    return () => sized.disconnect();
  }, [links]);
  const chain = known.flatMap((signal) => state.processors.filter((one) => one.signal === signal));
  return html`<div class="picture" ref=${place}>
    <svg class="wires" aria-hidden="true">${wires.map((wire) => html`<path key=${wire.key} d=${wire.path}
    class=${`wire ${wire.signal} ${wire.flows ? `flows f${wire.speed}` : ''} ${wire.halted ? 'halted' : ''}`} />`)}
    </svg>
    <section class="column" aria-label="Receivers"><h2>Receivers</h2>
    ${state.receivers.map((one) => html`<${ReceiverBox} key=${`${keyOf(one)}${one.transport}`} one=${one}
    states=${states} />`)}
      ${!state.receivers.length && html`<p class="muted">Nothing takes data in.</p>`}</section>
    ${chain.length > 0 && html`<section class="column" aria-label="Processors"><h2>Processors</h2>
    ${chain.map((one) => html`<${ProcessorBox} key=${`${keyOf(one)}${one.pipeline}`} one=${one} states=${states} />`)}
    </section>`}
    <section class="column wide" aria-label="Exporters"><h2>Exporters</h2>
    ${state.exporters.map((one) => html`<${ExporterBox} key=${keyOf(one)} one=${one} states=${states} />`)}
      ${!state.exporters.length && html`<p class="muted">Nothing is sent anywhere.</p>`}</section></div>`;
}

/** @typedef {{ from: string, to: string, signal: string, of: (state: PipelineState) => number | undefined }} Link */
/** @typedef {{ key: string, path: string, signal: string, flows: boolean, speed: number, halted: boolean }} Wire */

/** Which box hands to which. @param {PipelineState} state @returns {Link[]} */
function linksOf(state) {
  /** @type {Map<string, Link>} */
  const links = new Map();
  for (const { id, signal, receivers, processors, exporters } of state.pipelines) {
    const chain = processors
      .filter((name) => state.processors.some((one) => one.id === name && one.pipeline === id))
      .map((name) => `p:${id}:${name}`);
    const first = chain[0];
    const last = chain.at(-1);
    const heads = state.receivers
      .filter((one) => receivers.includes(one.id) && one.signal === signal)
      .map((one) => ({
        from: `r:${one.id}:${one.transport}:${signal}`,
        of: (/** @type {PipelineState} */ now) =>
          now.receivers.find(
            (other) => other.id === one.id && other.transport === one.transport && other.signal === signal,
          )?.accepted,
      }));
    const tails = exporters.map((name) => ({
      to: `e:${name}:${signal}`,
      of: (/** @type {PipelineState} */ now) =>
        now.exporters.find((one) => one.id === name && one.signal === signal)?.sent,
    }));
    const add = (/** @type {string} */ from, /** @type {string} */ to, /** @type {Link['of']} */ of) =>
      links.set(`${from}>${to}`, { from, to, signal, of });
    for (const head of heads) {
      if (first) add(head.from, first, head.of);
      else for (const tail of tails) add(head.from, tail.to, head.of);
    }
    for (let at = 1; at < chain.length; at++) {
      const name = processors[at];
      add(
        chain[at - 1],
        chain[at],
        (now) => now.processors.find((one) => one.id === name && one.pipeline === id)?.incoming,
      );
    }
    if (last) for (const tail of tails) add(last, tail.to, tail.of);
  }
  return [...links.values()];
}

/**
 * Lines between boxes where they stand now.
 * @param {HTMLElement} place
 * @param {Link[]} links
 * @param {PipelineState[]} states
 * @returns {Wire[]}
 */
function wired(place, links, states) {
  const own = place.getBoundingClientRect();
  /** @type {Map<string, DOMRect>} */
  const boxes = new Map();
  for (const box of place.querySelectorAll('[data-box-of]'))
    boxes.set(/** @type {HTMLElement} */ (box).dataset.boxOf ?? '', box.getBoundingClientRect());
  return links.flatMap(({ from, to, signal, of }) => {
    const [one, other] = [boxes.get(from), boxes.get(to)];
    if (!one || !other) return [];
    const isBelow = other.left < one.right && other.top > one.top;
    const [x, y] = isBelow
      ? [one.left + 20 - own.left, one.bottom - own.top]
      : [one.right - own.left, one.top + Math.min(one.height / 2, 30) - own.top];
    const [u, v] = isBelow
      ? [other.left + 20 - own.left, other.top - own.top]
      : [other.left - own.left, other.top + Math.min(other.height / 2, 30) - own.top];
    const path = isBelow
      ? Math.abs(v - y) < 40
        ? `M${x} ${y}L${u} ${v}`
        : `M${x} ${y}C${x - 18} ${(y + v) / 2} ${u - 18} ${(y + v) / 2} ${u} ${v}`
      : `M${x} ${y}C${(x + u) / 2} ${y} ${(x + u) / 2} ${v} ${u} ${v}`;
    const now = rate(states, of) ?? 0;
    const halted =
      states
        .at(-1)
        ?.exporters.some(
          (exporter) =>
            `e:${exporter.id}:${exporter.signal}` === to &&
            exporter.lanes_total > 0 &&
            exporter.lanes_halted === exporter.lanes_total,
        ) ?? false;
    return [
      { key: `${from}>${to}`, path, signal, flows: now > 0, speed: now > 10_000 ? 3 : now > 100 ? 2 : 1, halted },
    ];
  });
}
