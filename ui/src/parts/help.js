// Keys, and the language of queries.
import { html } from '../html.js';
import { Dialog } from './dialog.js';

const KEYS = [
  ['/', 'to the box'],
  ['1 … 6', 'the views'],
  ['j  k', 'next row, the one before'],
  ['Enter', 'open or close it'],
  ['o', 'older rows'],
  ['l', 'live tail on or off; in a trace: unfold'],
  ['h', 'in a trace: fold'],
  ['+  −  0', 'in a trace: zoom'],
  ['n  N', 'in a trace: next match'],
  ['r', 'ask again'],
  ['t', 'light or dark'],
  ['?', 'this'],
  ['Esc', 'close what is open'],
];
const WRITTEN = [
  ['declined "connection refused"', 'a word, a phrase, in whatever case'],
  ['~nsufficient_fun', 'a piece of text'],
  ['service:cart service:checkout', 'one of these services'],
  ['severity>=warn', 'at least so bad'],
  ['http.status_code>=500', 'an attribute of record, resource or scope'],
  ['user.id:*', 'there is one'],
  ['trace:4bf9…  span:00f0…', 'ids; paste an id or a traceparent anywhere to open its trace'],
  ['-debug -service:cart', 'not'],
];

/** @param {{ me: Me | null, onClose: () => void }} props */
export function Help({ me, onClose }) {
  return html`<${Dialog} title="Help" className="wide" onClose=${onClose}>
    <div class="help">
      <section><h3>Keys</h3><dl>${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
      </section>
      <section><h3>What the box takes</h3>
        <dl>${WRITTEN.map(([text, what]) => html`<dt><code>${text}</code></dt><dd>${what}</dd>`)}</dl>
        <p>All of them hold at once. What has blanks is written in double quotes.</p></section>
    </div>
    <p class="buttons"><span class="muted">${me ? `Bywash ${me.version}` : ''}</span>
      <button autofocus onClick=${onClose}>Close</button></p></${Dialog}>`;
}
