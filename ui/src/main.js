// The first file that runs.
import { html, render } from './html.js';
import { App } from './app.js';
import { applyTheme } from './theme.js';

applyTheme();
const page = /** @type {HTMLElement} */ (document.getElementById('page'));
page.replaceChildren();
render(html`<${App} />`, page);
