// Serves `ui/` as the program will, with its policy, and passes questions on to the real program.
import { createServer, request as ask } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scripted, withIds } from './scripted.mjs';

const UI = fileURLToPath(new URL('../../ui/', import.meta.url));
export const POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'",
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
].join('; ');
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/** What a test may have the server do. @typedef {ReturnType<typeof calm>} Behaviour */
export const calm = () => ({
  /** Without this in the header, 401. @type {string | null} */
  token: null,
  /** Answered with 500, by the beginning of the path. @type {string[]} */
  failing: [],
  /** No connection is answered. */
  gone: false,
  /** @type {Record<string, any>} what the scripted part is to do */
  script: {},
});

/** @param {string} origin of the real program */
export async function serve(origin) {
  const behaviour = calm();
  /** @type {string[]} */
  const asked = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (!url.pathname.startsWith('/api')) return file(url.pathname, response);
    asked.push(`${request.method} ${request.url}`);
    if (behaviour.gone) return request.socket.destroy();
    const say = (/** @type {number} */ status, /** @type {object} */ body) =>
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    if (behaviour.token && request.headers.authorization !== `Bearer ${behaviour.token}`)
      return say(401, { error: 'a token is needed', at: null });
    if (behaviour.failing.some((path) => url.pathname.startsWith(path)))
      return say(500, { error: 'the disk of the store fails', at: null });
    try {
      if (await scripted({ request, response, url, origin, behaviour, say })) return;
    } catch (error) {
      return say(500, { error: String(error), at: null });
    }
    pass(request, response, origin);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', () => done(null)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    origin: `http://127.0.0.1:${port}`,
    behaviour,
    asked,
    reset: () => Object.assign(behaviour, calm()),
    /** Ends every connection. */
    cut: () => server.closeAllConnections(),
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** @param {string} path @param {import('node:http').ServerResponse} response */
async function file(path, response) {
  const name = normalize(join(UI, path === '/' ? 'index.html' : decodeURIComponent(path)));
  const type = TYPES[extname(name)];
  const body = name.startsWith(UI) && type ? await readFile(name).catch(() => null) : null;
  if (!body) return response.writeHead(404).end();
  response
    .writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': POLICY, 'X-Content-Type-Options': 'nosniff' })
    .end(body);
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 * @param {string} origin
 */
function pass(request, response, origin) {
  const target = new URL(request.url ?? '/', origin);
  const onward = ask(
    target,
    { method: request.method, headers: { ...request.headers, host: target.host } },
    (answer) => {
      const parts = /** @type {Buffer[]} */ ([]);
      answer
        .on('data', (part) => parts.push(part))
        .on('end', () => {
          const body = withIds(target.pathname, Buffer.concat(parts));
          response
            .writeHead(answer.statusCode ?? 502, {
              'Content-Type': answer.headers['content-type'] ?? 'application/json',
            })
            .end(body);
        });
    },
  );
  onward.on('error', () => response.writeHead(502).end());
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}
