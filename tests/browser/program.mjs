// The real program with a store, in a directory of its own, and what is sent to it.
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

/** Starts it, and answers when it takes data and questions. */
export async function start() {
  const directory = await mkdtemp(join(tmpdir(), 'bywash-browser-'));
  const [http, api] = [await freePort(), await freePort()];
  const config = join(directory, 'config.yaml');
  await writeFile(
    config,
    `
receivers: {otlp: {protocols: {http: {endpoint: 127.0.0.1:${http}, max_request_body_size: 67108864}}}}
exporters: {store: {path: ${directory}/store, api: {endpoint: "127.0.0.1:${api}"}}}
service:
  acknowledge: delivered
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], exporters: [store]}
    traces: {receivers: [otlp], exporters: [store]}
`,
  );
  const child = spawn(/** @type {string} */ (process.env.BYWASH), ['run', '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let told = '';
  child.stderr.on('data', (data) => (told += data));
  const ended = new Promise((done) => child.once('exit', done));
  const origin = `http://127.0.0.1:${api}`;
  const answers = async () => {
    for (let wait = 20; ; wait = Math.min(wait * 1.5, 500)) {
      const response = await fetch(`${origin}/api/logs?limit=1`).catch(() => null);
      if (response?.ok) return;
      if (child.exitCode !== null) throw new Error(`the program ended: ${told}`);
      await new Promise((done) => setTimeout(done, wait));
    }
  };
  await answers();
  return {
    origin,
    /** @param {'logs' | 'traces'} signal @param {object} request OTLP as JSON */
    async send(signal, request) {
      const response = await fetch(`http://127.0.0.1:${http}/v1/${signal}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(request),
      });
      if (!response.ok) throw new Error(`${signal} were not taken: ${response.status} ${await response.text()}`);
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
