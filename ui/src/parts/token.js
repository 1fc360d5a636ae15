// Asks for the token when the API wants one. It stays in this tab.
import { html, useState } from '../html.js';
import { Dialog } from './dialog.js';
import { request, setToken, token, url } from '../api.js';

/** @param {{ onDone: () => void }} props */
export function TokenPrompt({ onDone }) {
  const [text, setText] = useState('');
  const [wrong, setWrong] = useState(token() ? 'The token that this tab has is not right.' : '');
  /** @param {Event} event */
  const send = async (event) => {
    event.preventDefault();
    setToken(text.trim());
    try {
      await request(url('me'));
      onDone();
    } catch (error) {
      setWrong(/** @type {Error} */ (error).message);
    }
  };
  return html`<${Dialog} title="A token is needed" onClose=${onDone}>
    <form onSubmit=${send}>
      <p>Bywash answers here only with the token of its configuration. It is kept until this tab is closed,
      and nowhere else.</p>
      <input type="password" aria-label="Token" autocomplete="off" autofocus value=${text}
      onInput=${(/** @type {any} */ e) => setText(e.target.value)} />
      ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
      <p class="buttons"><button class="primary" disabled=${!text.trim()}>Use it</button></p>
    </form></${Dialog}>`;
}
