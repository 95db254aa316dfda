// Calls of the server: errors as it states them, the key, streams of events. No request leaves its origin.

const kKey = "tenth.key";
// For this tab only: a key is not kept on the disk.
export const apiKey = () => sessionStorage.getItem(kKey) ?? "";
export function setApiKey(key) {
  if (key)
    sessionStorage.setItem(kKey, key);
  else
    sessionStorage.removeItem(kKey);
}

export class ApiFailure extends Error {
  // status 0: no answer came, or it broke off. retryAfter: seconds, or 0.
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function failureOf(response) {
  const text = await response.text().catch(() => "");
  let message = "";
  try {
    const {error} = JSON.parse(text);
    message = error.message;
    if (error.param) message = `${error.param}: ${message}`;
  } catch {
    message = text.slice(0, 500);
  }
  return new ApiFailure(
    message || `The server answered ${response.status}.`, response.status,
    Number(response.headers.get("Retry-After")) || 0);
}

// The response to a GET, or to a POST where there is a body. Throws ApiFailure; an AbortError where signal ends it.
export async function request(path, {body, signal} = {}) {
  const headers = {};
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiFailure("The server does not answer. Is it still running?");
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export const getJson = async (path, options) => (await request(path, options)).json();

// The model that is served: {id, max_model_len}.
export const servedModel = async () => (await getJson("/v1/models")).data[0];

// The text of each "data:" event of a stream.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const {value, done} = await reader.read();
      if (done) return;
      held += value;
      const lines = held.split(/\r?\n/);
      held = lines.pop();
      for (const line of lines)
        if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiFailure("The connection broke before the answer was complete.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

// The chunks of a streamed chat completion.
export async function* chatChunks(body, signal) {
  const response = await request("/v1/chat/completions", {body: {...body, stream: true}, signal});
  for await (const data of events(response)) {
    if (data === "[DONE]") return;
    let chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      throw new ApiFailure("The server sent something that is no JSON.");
    }
    if (chunk.error) throw new ApiFailure(chunk.error.message, 200);
    yield chunk;
  }
  throw new ApiFailure("The connection broke before the answer was complete.");
}
