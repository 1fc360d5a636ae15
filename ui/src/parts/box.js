// The box for an expression: past queries, saved views, names and values from what is stored.
import { html, useEffect, useMemo, useRef, useState } from '../html.js';
import { useAnswer } from '../api.js';
import { condition, isName, OWN_FIELDS, quoted, SEVERITIES, spot, traceId } from '../query.js';
import { forgetView, past, remember, savedViews, saveView } from '../kept.js';
import { go } from '../place.js';
import { count, line } from '../text.js';

const MOST_SHOWN = 12;
/** @typedef {{ kind: 'past' | 'view' | 'name' | 'value', text: string, label: string, note?: string }} Offer */

/**
 * @param {{ query: string, signal: 'logs' | 'traces', context: Context, onQuery: (query: string) => void,
 *   placeholder?: string }} props
 */
export function QueryBox({ query, signal, context, onQuery, placeholder }) {
  const [text, setText] = useState(query);
  const [caret, setCaret] = useState(query.length);
  const [isOpen, setIsOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => setText(query), [query]);
  const offers = useOffers(text, caret, signal, context, isOpen);

  const send = (/** @type {string} */ next) => {
    const id = traceId(next);
    setIsOpen(false);
    setAt(-1);
    if (id) return go(['traces', id]);
    remember(next);
    onQuery(next.trim());
  };
  const take = (/** @type {Offer} */ offer) => {
    if (offer.kind === 'view') {
      location.hash = offer.text;
      return setIsOpen(false);
    }
    if (offer.kind === 'past') {
      setText(offer.text);
      return send(offer.text);
    }
    const { from, to } = spot(text, caret);
    const put = offer.text + (offer.kind === 'value' ? ' ' : '');
    const next = text.slice(0, from) + put + text.slice(to).replace(/^\s+/, '');
    setText(next);
    setCaret(from + put.length);
    setAt(-1);
    requestAnimationFrame(() => input.current?.setSelectionRange(from + put.length, from + put.length));
    if (offer.kind === 'value' && next.trim() !== query) onQuery(next.trim());
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setIsOpen(true);
      return setAt(Math.min(Math.max(at + step, -1), offers.length - 1));
    }
    if (event.key === 'Escape') return isOpen ? setIsOpen(false) : input.current?.blur();
    if (event.key === 'Tab' && isOpen && at >= 0) return (event.preventDefault(), take(offers[at]));
    if (event.key !== 'Enter') return;
    event.preventDefault();
    isOpen && at >= 0 ? take(offers[at]) : send(text);
  };
  const edited = (/** @type {any} */ { target }) => {
    setText(target.value);
    setCaret(target.selectionStart ?? target.value.length);
    setIsOpen(true);
    setAt(-1);
  };
  // Whoever comes to an empty box is offered what was asked before.
  const offerIfEmpty = (/** @type {any} */ { target }) => setIsOpen(target.value === '');
  const placed = (/** @type {any} */ event) => {
    setCaret(event.target.selectionStart ?? 0);
    if (event.target.value === '') setIsOpen(true);
  };
  const save = () => {
    const name = prompt('Name of this view: query, columns and window', text || 'everything');
    if (name) saveView(name, location.hash);
  };
  return html`<form class="box" role="search" onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), send(text))}>
    <div class="box-line">
      <input data-box ref=${input} type="text" spellcheck=${false} autocomplete="off" autocapitalize="off"
      value=${text} placeholder=${placeholder}
        role="combobox" aria-label="Query" aria-expanded=${isOpen && offers.length > 0} aria-controls="offers"
          aria-autocomplete="list"
        aria-activedescendant=${at >= 0 ? `offer-${at}` : null}
        onInput=${edited} onKeyDown=${pressed} onFocus=${offerIfEmpty}
        onBlur=${() => setIsOpen(false)} onClick=${placed} />
      ${text && html`<button type="button" class="icon clear" aria-label="Empty the box"
      onClick=${() => (setText(''), send(''), input.current?.focus())}>×</button>`}
      <button type="button" class="icon" title="Save this view" aria-label="Save this view" onClick=${save}>☆</button>
      <button class="primary">Find</button>
    </div>
    ${
      isOpen &&
      offers.length > 0 &&
      html`<ul id="offers" class="offers" role="listbox">
      ${offers.map(
        (
          offer,
          number,
        ) => html`<li id=${`offer-${number}`} role="option" aria-selected=${number === at} class=${offer.kind}
        onMouseDown=${(/** @type {Event} */ e) => (e.preventDefault(), take(offer))}>
        <span class="offer-text">${offer.label}</span><span class="muted">${offer.note}</span>
        ${
          offer.kind === 'view' &&
          html`<button type="button" class="icon" tabindex="-1" aria-label="Forget this view"
          onMouseDown=${(/** @type {Event} */ e) => (e.stopPropagation(), e.preventDefault(), forgetView(offer.label),
          setIsOpen(false))}>×</button>`
        }</li>`,
      )}
    </ul>`
    }</form>`;
}

/**
 * @param {string} text @param {number} caret @param {string} signal @param {Context} context @param {boolean} isOpen
 * @returns {Offer[]}
 */
function useOffers(text, caret, signal, { start, end, tenant }, isOpen) {
  const { field, typed } = useMemo(() => spot(text, caret), [text, caret]);
  const asked = { signal, start, end, tenant };
  const names = useAnswer(isOpen && field === null ? 'fields' : null, asked);
  const isStored = field !== null && field !== 'severity' && field !== 'trace' && field !== 'span';
  const values = useAnswer(isOpen && isStored ? 'fields' : null, { ...asked, field });
  if (!isOpen) return [];
  const has = (/** @type {string} */ name) => name.toLowerCase().includes(typed.toLowerCase());
  if (field !== null) {
    /** @type {Counted[]} */
    const known =
      field === 'severity' ? SEVERITIES.map((text) => ({ text, records: 0 })) : (values.data?.values ?? []);
    return known
      .filter(({ text }) => has(text) && text !== typed)
      .slice(0, MOST_SHOWN)
      .map(({ text, records }) => ({
        kind: 'value',
        text: quoted(text),
        label: line(text, 120),
        note: records ? count(records) : '',
      }));
  }
  const before = (
    text
      ? past()
          .filter((one) => one !== text && one.toLowerCase().includes(text.toLowerCase()))
          .slice(0, 3)
      : past().slice(0, 8)
  ).map((one) => /** @type {Offer} */ ({ kind: 'past', text: one, label: one, note: 'before' }));
  const views = text
    ? []
    : savedViews().map(
        ({ name, hash }) => /** @type {Offer} */ ({ kind: 'view', text: hash, label: name, note: 'saved view' }),
      );
  /** @type {Counted[]} */
  const fields = names.data?.fields ?? [];
  const own = OWN_FIELDS.map((text) => ({ text, records: 0 }));
  const offered = [...own, ...fields]
    .filter(({ text }) => isName(text) && has(text))
    .slice(0, MOST_SHOWN)
    .map(
      ({ text, records }) =>
        /** @type {Offer} */ ({
          kind: 'name',
          text: condition(text, '').slice(0, -2),
          label: text,
          note: records ? count(records) : '',
        }),
    );
  return [...views, ...(typed || !text ? before : []), ...offered].slice(0, MOST_SHOWN + 4);
}
