// The real program with a store and its page, in a directory of its own, and what is sent to it.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @returns {Promise<number>} a port that is free now */
function freePort() {
  return new Promise((done, failed) => {
    const server = createServer()
      .once('error', failed)
      .listen(0, '127.0.0.1', () => {
        const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
        server.close(() => done(port));
      });
  });
}

/**
 * What comes in at `away` goes to destinations that are not there: what one of them gives up is a dead letter; the other waits,
 * and has room for little.
 * @param {{ directory: string, http: number, away: number, api: number, nobody: number, tokens: boolean }} of
 */
const configuration = ({ directory, http, away, api, nobody, tokens }) => `
receivers:
  otlp: {protocols: {http: {endpoint: 127.0.0.1:${http}, max_request_body_size: 67108864}}}
  otlp/away: {protocols: {http: {endpoint: 127.0.0.1:${away}}}}
processors:
  loki_stages: {stages: [{drop: {expression: "^never$"}}]}
exporters:
  store:
    path: ${directory}/store
    api: {endpoint: "127.0.0.1:${api}"${tokens ? `, tokens_file: ${directory}/tokens` : ''}}
  otlp_http/vendor:
    endpoint: http://127.0.0.1:${nobody}
    retry_on_failure: {enabled: false}
    sending_queue: {storage: file_storage}
  otlp_http/slow:
    endpoint: http://127.0.0.1:${nobody}
    retry_on_failure: {initial_interval: 1s, max_interval: 15s}
    sending_queue: {queue_size: 3}
extensions:
  file_storage: {directory: ${directory}/queues, create_directory: true}
service:
  extensions: [file_storage]
  budget: {tenant: {header: x-tenant}}
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], processors: [loki_stages], exporters: [store]}
    traces: {receivers: [otlp], exporters: [store]}
    logs/away: {receivers: [otlp/away], exporters: [otlp_http/vendor]}
    logs/slow: {receivers: [otlp/away], exporters: [otlp_http/slow]}
`;

/** Starts it, and answers when it takes data and questions. @param {{ tokens?: boolean }} [how] */
export async function start({ tokens = false } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'bywash-browser-'));
  const [http, away, api, nobody] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const config = join(directory, 'config.yaml');
  await writeFile(join(directory, 'tokens'), 'sesame *\n');
  await writeFile(config, configuration({ directory, http, away, api, nobody, tokens }));
  const origin = `http://127.0.0.1:${api}`;
  /** @type {{ child: import('node:child_process').ChildProcess, ended: Promise<unknown> }} */
  let process_;
  const begin = async () => {
    const child = spawn(/** @type {string} */ (process.env.BYWASH), ['run', '--config', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let told = '';
    child.stderr.on('data', (data) => (told += data));
    process_ = { child, ended: new Promise((done) => child.once('exit', done)) };
    for (let wait = 20; ; wait = Math.min(wait * 1.5, 500)) {
      const response = await fetch(`${origin}/ready`).catch(() => null);
      if (response?.ok) return;
      if (child.exitCode !== null) throw new Error(`the program ended: ${told}`);
      await new Promise((done) => setTimeout(done, wait));
    }
  };
  const end = async () => {
    process_.child.kill('SIGTERM');
    await process_.ended;
  };
  /** @param {number} port @param {string} signal @param {object} request @param {Record<string, string>} headers */
  const post = (port, signal, request, headers) =>
    fetch(`http://127.0.0.1:${port}/v1/${signal}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify(request),
    });
  await begin();
  return {
    origin,
    http,
    begin,
    end,
    /**
     * @param {'logs' | 'traces'} signal @param {object} request OTLP as JSON
     * @param {string} [tenant]
     */
    async send(signal, request, tenant) {
      const response = await post(http, signal, request, tenant ? { 'X-Tenant': tenant } : {});
      if (!response.ok) throw new Error(`${signal} were not taken: ${response.status} ${await response.text()}`);
    },
    /** Sends logs to where nobody is; nobody waits for what becomes of them. @param {object} request */
    sendAway: (request) => void post(away, 'logs', request, {}).catch(() => null),
    async stop() {
      await end();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
/** @typedef {Awaited<ReturnType<typeof start>>} Program */
