// Dead letters: what can never be delivered as it is. Look, send again, discard.
import { html, useEffect, useRef, useState } from '../html.js';
import { get, post } from '../api.js';
import { change } from '../place.js';
import { clock, exact, nanos } from '../time.js';
import { bytes, count, line, plural } from '../text.js';
import { stepRow, useKeys } from '../keys.js';
import { Broken, Nothing, Wait } from '../parts/notice.js';
import { Confirm } from '../parts/dialog.js';
import { Record } from './logs/record.js';

const PAGE = 100;
/** @typedef {{ act: 'replay' | 'discard', body: object, records: number, what: string }} Wanted */

/** @param {{ context: Context }} props */
export function View({ context }) {
  const { params, round } = context;
  const asked = { exporter: params.get('exporter'), signal: params.get('signal'), limit: PAGE };
  const [answer, setAnswer] = useState(/** @type {LettersAnswer | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [chosen, setChosen] = useState(/** @type {Set<string>} */ (new Set()));
  const [open, setOpen] = useState(/** @type {string | null} */ (null));
  const [wanted, setWanted] = useState(/** @type {Wanted | null} */ (null));
  const [said, setSaid] = useState('');
  const [turn, setTurn] = useState(0);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    get('dead-letters', asked, stop.signal).then(
      (data) => (setAnswer(data), setError(null), setChosen(new Set())),
      (wrong) => stop.signal.aborted || setError(wrong),
    );
    return () => stop.abort();
  }, [asked.exporter, asked.signal, round, turn]);
  useKeys({ j: () => stepRow(list.current, 1), k: () => stepRow(list.current, -1) }, []);
  const letters = answer?.letters ?? [];
  const older = () =>
    answer?.cursor &&
    get('dead-letters', { ...asked, cursor: answer.cursor }).then(
      (more) => setAnswer({ ...more, letters: [...letters, ...more.letters] }),
      setError,
    );
  const act = async (/** @type {Wanted} */ { act, body }) => {
    try {
      const { done, failed } = await post(`dead-letters/${act}`, body);
      const refused = failed.length ? `; ${failed.length} not: ${failed[0].error}` : '';
      setSaid(
        `${plural(done, 'letter')} ${act === 'replay' ? 'back in the queue' : 'discarded'}${refused}.`,
      );
      setTurn((before) => before + 1);
    } catch (wrong) {
      setSaid(/** @type {Error} */ (wrong).message);
    }
  };
  const of = (/** @type {Letter[]} */ some) => some.reduce((all, letter) => all + letter.records, 0);
  const mark = (/** @type {string} */ id) =>
    setChosen((before) => {
      const next = new Set(before);
      next.delete(id) || next.add(id);
      return next;
    });
  const picked = letters.filter((letter) => chosen.has(letter.id));
  const want = (/** @type {Wanted['act']} */ act, /** @type {Letter[]} */ some) =>
    setWanted({
      act,
      body: { ids: some.map((letter) => letter.id) },
      records: of(some),
      what: plural(some.length, 'letter'),
    });
  const exporters = [
    ...new Set([...letters.map((letter) => letter.exporter), ...(asked.exporter ? [asked.exporter] : [])]),
  ];
  if (error && !answer) return html`<div class="view"><${Broken} error=${error} /></div>`;
  if (!answer) return html`<${Wait} />`;
  return html`<div class="view letters">
    <div class="tools">
      <select aria-label="Exporter" onChange=${(/** @type {any} */ e) => change({ exporter: e.target.value })}><option
      value="">all exporters</option>
        ${exporters.map((name) => html`<option value=${name} selected=${name === asked.exporter}>${line(name, 60)}
        </option>`)}</select>
      <select aria-label="Signal" onChange=${(/** @type {any} */ e) => change({ signal: e.target.value })}><option
      value="">all signals</option>
        ${['logs', 'traces', 'metrics'].map((name) => html`<option value=${name} selected=${name === asked.signal}>
        ${name}</option>`)}</select>
      <span class="total" role="status"><b>${count(answer.total)}</b> ${answer.total === 1 ? 'letter' : 'letters'}
      ${picked.length ? `, ${picked.length} chosen with ${plural(of(picked), 'record')}` : ''}</span>
      <span class="tools-end"><button class="small" disabled=${!picked.length}
      onClick=${() => want('replay', picked)}>Replay chosen</button>
        <button class="small danger" disabled=${!picked.length}
        onClick=${() => want('discard', picked)}>Discard chosen</button>
        ${asked.exporter && answer.total > letters.length && html`<button class="small"
        onClick=${() => setWanted({ act: 'replay', body: { exporter: asked.exporter, all: true }, records: 0,
        what: `all ${count(answer.total)} letters of ${asked.exporter}` })}>Replay all ${count(answer.total)}
          </button>`}</span></div>
    ${said && html`<p class="said" role="status">${said}</p>`}
    ${error && html`<${Broken} error=${error} />`}
    ${
      !letters.length
        ? html`<${Nothing} title="There are no dead letters.">
          <p>What a destination refuses for good comes here,
          if the exporter's queue is on disk (<code>sending_queue.storage</code>).</p></${Nothing}>`
        : html`<div class="rows letter-list" ref=${list}>
      <div class="row head"><span><input type="checkbox" aria-label="Choose all"
      checked=${picked.length === letters.length}
        onChange=${() => setChosen(picked.length === letters.length ? new Set() : new Set(letters.map((letter) =>
        letter.id)))} /></span>
        <span>Given up</span><span>Exporter</span><span>Target</span><span>Reason</span><span
        class="num">Records</span><span class="num">Size</span></div>
      ${letters.map(
        (letter) => html`<div key=${letter.id} class="entry ${open === letter.id ? 'open' : ''}">
        <div class="row" data-row tabindex="0" role="row" aria-expanded=${open === letter.id}
        onClick=${() => setOpen(open === letter.id ? null : letter.id)}
          onKeyDown=${(/** @type {KeyboardEvent} */ e) => {
            if (e.target !== e.currentTarget) return;
            if (e.key === 'Enter') setOpen(open === letter.id ? null : letter.id);
            if (e.key === ' ') (e.preventDefault(), mark(letter.id));
          }}>
          <span><input type="checkbox" tabindex="-1" aria-label=${`Choose ${letter.id}`}
          checked=${chosen.has(letter.id)} onClick=${(/** @type {Event} */ e) => e.stopPropagation()}
            onChange=${() => mark(letter.id)} /></span>
          <span class="cell time" title=${exact(nanos(letter.time))}>${clock(nanos(letter.time), { digits: 0 })}</span>
          <span class="cell"><bdi>${line(letter.exporter, 60)}</bdi> <span class="muted">${letter.signal}</span>
          </span><span class="cell"><bdi>${line(letter.target, 80)}</bdi></span>
          <span class="cell bad"><bdi>${line(letter.reason, 200)}</bdi></span><span class="cell num">
          ${count(letter.records)}</span><span class="cell num">${bytes(letter.bytes)}</span></div>
        ${
          open === letter.id &&
          html`<div class="record"><div class="record-tools"><button class="small primary"
            onClick=${() => want('replay', [letter])}>Replay</button>
            <button class="small danger" onClick=${() => want('discard', [letter])}>Discard</button><span
            class="muted mono">${letter.id}</span></div>
          ${letter.preview.map((row) => html`<${Record} row=${{ ...row, id: '' }} context=${context}
          onValue=${() => {}} />`)}
          ${letter.records > letter.preview.length && html`<p
          class="muted">and ${plural(letter.records - letter.preview.length,
          'record')} more: <code>bywash dlq show ${letter.id}</code></p>`}</div>`
        }</div>`,
      )}
      ${answer.cursor && html`<button class="older" onClick=${older}>More</button>`}</div>`
    }
    ${
      wanted &&
      html`<${Confirm} title=${wanted.act === 'replay' ? 'Send again?' : 'Discard for good?'}
        isDanger=${wanted.act === 'discard'} yes=${wanted.act === 'replay' ? 'Replay' : 'Discard'}
      text=${`${wanted.what}${wanted.records ? ` with ${plural(wanted.records,
        'record')}` : ''} ${wanted.act === 'replay'
          ? 'will go back into the queue of the exporter. What still cannot be delivered comes back here.'
            : 'will be gone. There is no way back.'}`}
      onYes=${() => act(wanted)} onClose=${() => setWanted(null)} />`
    }</div>`;
}
