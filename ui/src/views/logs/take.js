// What matched, to take away: files, or lines of text.
import { html, useState } from '../../html.js';
import { request, token, url } from '../../api.js';
import { copy } from '../../text.js';

/** Without a stream to a file, an answer is gathered in memory; more than this is none of a tab's business. */
const MOST_BYTES = 512 << 20;

/** @param {{ asked: import('../../api.js').Asked, signal: string, rows: Row[] }} props */
export function Take({ asked, signal, rows }) {
  const [said, setSaid] = useState('');
  /** @param {string} format */
  const file = async (format) => {
    const address = url('export', { ...asked, signal, format });
    const name = `bywash-${signal}.${format === 'otlp' ? 'otlp.json' : 'jsonl'}`;
    // A link streams to the disk, but cannot carry a token.
    if (!token()) return save(address, name);
    setSaid('Fetching…');
    try {
      save(URL.createObjectURL(new Blob(await gathered(await request(address)))), name);
      setSaid('');
    } catch (error) {
      setSaid(`The file is not whole: ${/** @type {Error} */ (error).message}`);
    }
  };
  const lines = async () => {
    await copy(rows.map((row) => `${row.time} ${row.severity} ${row.service} ${row.body}`).join('\n'));
    setSaid(`${rows.length} copied`);
    setTimeout(() => setSaid(''), 2000);
  };
  return html`<details class="take"><summary class="button small">Export</summary><div class="take-list">
    <button onClick=${() => file('jsonl')}>All that match, JSON lines</button>
    <button onClick=${() => file('otlp')}>All that match, OTLP</button>
    <button onClick=${lines}>Copy the rows below as text</button>
    ${said && html`<p class="muted" role="status">${said}</p>`}</div></details>`;
}

/** @param {string} address @param {string} name */
function save(address, name) {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
}

/** @param {Response} response */
async function gathered(response) {
  const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (response.body).getReader();
  const parts = [];
  for (let size = 0; ;) {
    const { value, done } = await reader.read();
    if (done) return parts;
    size += value.length;
    if (size > MOST_BYTES) throw new Error('more than 512 MiB; narrow the query, or use bywash query');
    parts.push(value);
  }
}
