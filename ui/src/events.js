// Server-sent events, read from an answer to `fetch`: an EventSource cannot send a token.

/** Longer events are none of ours. */
const MOST = 64 << 20;

/** @param {Response} response @returns {AsyncGenerator<{ event: string, data: string }>} */
export async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const parts = rest.split(/\r?\n\r?\n/);
      rest = parts.pop() ?? '';
      if (rest.length > MOST) return;
      for (const part of parts) {
        const event = read(part);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} text lines of one event @returns {{ event: string, data: string } | null} null: a heartbeat */
export function read(text) {
  let event = 'message';
  const data = [];
  for (const line of text.split(/\r?\n/)) {
    const match = /^(event|data):\s?(.*)$/s.exec(line);
    if (match?.[1] === 'event') event = match[2];
    if (match?.[1] === 'data') data.push(match[2]);
  }
  return data.length ? { event, data: data.join('\n') } : null;
}
