// The package's trained networks in a page: answers what a kernel's network answers in a notebook.
// A message asks {key, id, networks, want, size, moved, picture}; the answer is {key, message, buffers}.
import * as ort from "./ort.wasm.bundle.min.mjs";

const state = { waiting: Promise.resolve(), ready: null };
const BLOCKS = [1, 2, 3, 4].flatMap((number) => [`block${number}.before`, `block${number}.after`]);
const OUTPUTS = { logits: ["logits"], maps: ["block4.after"], blocks: BLOCKS };

self.onmessage = ({ data }) => {
  const reply = (message, buffers = []) => postMessage({ key: data.key, message, buffers }, buffers);
  const run = async () => {
    state.ready ??= load((loaded, total) => reply({ kind: "progress", loaded, total }));
    reply(...(await answer(await state.ready, data)));
  };
  state.waiting = state.waiting.then(run).catch((error) => {
    state.ready = null; // so that the next question tries again
    reply({ kind: "error", id: data.id, message: error.message });
  });
};

// Fetch the networks and what runs them; tell how many bytes are there.
async function load(progress) {
  const about = await (await get("networks.json")).json();
  const total = Object.values(about.files).reduce((sum, bytes) => sum + bytes);
  let loaded = 0;
  const read = async (name) => {
    const bytes = new Uint8Array(about.files[name]);
    let at = 0;
    for await (const chunk of chunks((await get(name)).body)) {
      bytes.set(chunk, at);
      at += chunk.length;
      loaded += chunk.length;
      progress(loaded, total);
    }
    return bytes;
  };
  const [wasm, nin, head] = await Promise.all(Object.keys(about.files).map(read));
  ort.env.wasm.numThreads = 1; // more would need headers that a plain server does not send
  ort.env.wasm.wasmBinary = wasm;
  return { about, nin: await ort.InferenceSession.create(nin), head: await ort.InferenceSession.create(head) };
}

async function get(name) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => ({ ok: false, status: "no connection" }));
  if (!response.ok) throw new Error(`${name} cannot be fetched (${response.status}): these pages have no network.`);
  return response;
}

// A stream's chunks; not every browser iterates over a stream by itself.
async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

// Return [message, buffers]: the logits {network: numbers}, and the maps that were wanted with their shapes.
async function answer({ about, nin, head }, { id, networks, want, size, moved, picture }) {
  const side = Math.round(Math.sqrt(picture.length));
  const black = -about.mean / about.std;
  const x = move(enlarge(normalise(picture, about), side, size), size, moved, black);
  const names = want.flatMap((name) => OUTPUTS[name]);
  const asked = [...names, ...(networks.includes("fc") ? ["features"] : [])];
  const found = await nin.run({ x: new ort.Tensor("float32", x, [1, 1, size, size]) }, asked);
  const logits = { gap: [...found.logits.data] };
  if (networks.includes("fc")) {
    if (size !== about.size) throw new Error(`size=${size}: the fully connected head takes ${about.size} pixels only`);
    logits.fc = [...(await head.run({ x: found.features })).logits.data];
  }
  const maps = names.filter((name) => name !== "logits");
  const shapes = Object.fromEntries(maps.map((name) => [name, found[name].dims.slice(1)]));
  return [{ kind: "answer", id, size, logits, shapes }, maps.map((name) => found[name].data.slice().buffer)];
}

// What nin_helpers.preprocessing.preprocess computes: numbers (x / 255 − mean) / std, then enlarged bilinearly.
function normalise(picture, { mean, std }) {
  return Float32Array.from(picture, (level) => (level - 255 * mean) / (255 * std));
}

function enlarge(picture, side, size) {
  const places = Array.from({ length: size }, (_, at) => {
    const place = Math.max(0, ((at + 0.5) * side) / size - 0.5);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, side - 1), place - first];
  });
  const row = (y) => places.map(([a, b, share]) => picture[y * side + a] * (1 - share) + picture[y * side + b] * share);
  const rows = Array.from({ length: side }, (_, y) => row(y));
  const found = new Float32Array(size * size);
  places.forEach(([a, b, share], y) => {
    for (let x = 0; x < size; x++) found[y * size + x] = rows[a][x] * (1 - share) + rows[b][x] * share;
  });
  return found;
}

// What nin_helpers.diagnostics.moved computes: what leaves the picture is lost, and `fill` comes in.
function move(picture, size, [down, right], fill) {
  if (!down && !right) return picture;
  const found = new Float32Array(size * size).fill(fill);
  for (let y = Math.max(0, down); y < Math.min(size, size + down); y++) {
    const from = (y - down) * size + Math.max(0, -right);
    const row = picture.subarray(from, (y - down + 1) * size - Math.max(0, right));
    found.set(row, y * size + Math.max(0, right));
  }
  return found;
}
