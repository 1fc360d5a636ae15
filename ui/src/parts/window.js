// The window of time that all views share.
import { html, useState } from '../html.js';
import { change } from '../place.js';
import { clock, DEFAULT_RANGE, fromMillis, millis, RANGES } from '../time.js';
import { Dialog } from './dialog.js';

/** @param {{ params: URLSearchParams, start: bigint, end: bigint, onAgain: () => void }} props */
export function WindowPicker({ params, start, end, onAgain }) {
  const [isOpen, setIsOpen] = useState(false);
  const isFixed = !!params.get('from');
  const range = isFixed ? 'custom' : (params.get('range') ?? DEFAULT_RANGE);
  /** @param {any} event */
  const choose = ({ target }) => {
    if (target.value === 'custom' || target.value === 'other') {
      setIsOpen(true);
      target.value = range;
    } else change({ range: target.value, from: null, to: null });
  };
  const known = RANGES.some(([name]) => name === range);
  const label = `${clock(start, { digits: 0 })} – ${clock(end, { digits: 0 })}`;
  return html`
    <div class="window">
      <select aria-label="Window of time" title=${label} value=${range} onChange=${choose}>
        ${RANGES.map(([name, text]) => html`<option value=${name} selected=${name === range}>${text}</option>`)}
        ${!known && !isFixed && html`<option value=${range} selected>Last ${range}</option>`}
        ${isFixed && html`<option value="custom" selected>${label}</option>`}
        <option value="other">Other…</option>
      </select>
      <select class="every" aria-label="Ask again by itself" title="Ask again by itself"
      onChange=${(/** @type {any} */ e) => change({ every: e.target.value }, true)}>
        ${[
          ['', 'by hand'],
          ['5', '5 s'],
          ['30', '30 s'],
          ['300', '5 min'],
        ].map(
          ([value, text]) => html`
          <option value=${value} selected=${(params.get('every') ?? '') === value}>${text}</option>`,
        )}</select>
      <button class="icon" title="Ask again (r)" aria-label="Ask again" onClick=${onAgain}>↻</button>
    </div>
    ${isOpen && html`<${Custom} start=${start} end=${end} onClose=${() => setIsOpen(false)} />`}`;
}

/** @param {{ start: bigint, end: bigint, onClose: () => void }} props */
function Custom({ start, end, onClose }) {
  const [from, setFrom] = useState(local(start));
  const [to, setTo] = useState(local(end));
  const isRight = Date.parse(from) < Date.parse(to);
  /** @param {Event} event */
  const use = (event) => {
    event.preventDefault();
    const time = (/** @type {string} */ text) => fromMillis(Date.parse(text)).toString();
    change({ range: null, from: time(from), to: time(to) });
    onClose();
  };
  const field = (
    /** @type {string} */ name,
    /** @type {string} */ value,
    /** @type {(text: string) => void} */ set,
  ) => html`
    <label>${name}<input type="datetime-local" step="1" value=${value}
    onInput=${(/** @type {any} */ e) => set(e.target.value)} /></label>`;
  return html`<${Dialog} title="Window of time" onClose=${onClose}><form class="custom" onSubmit=${use}>
    ${field('From', from, setFrom)}${field('To', to, setTo)}
    ${!isRight && html`<p class="wrong">The end must come after the start.</p>`}
    <p class="buttons"><button type="button" onClick=${onClose}>Cancel</button>
      <button class="primary" disabled=${!isRight}>Use it</button></p></form></${Dialog}>`;
}

/** As a field of a form wants it: the reader's own clock. @param {bigint} time */
function local(time) {
  const date = new Date(millis(time));
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
