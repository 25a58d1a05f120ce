/** Asking a network: the kernel's in a notebook, the package's on a page. One question is in flight, then the newest. */
import { element, translator } from "./parts.js";
import { chosenPicture } from "./pictures.js";

const PATIENCE = 20_000; // milliseconds without a word: then nobody is there to answer
const NOBODY = "No network answers. In a notebook, run this cell first; its kernel has the network.";

/** Return whether the package's own networks answer, as on a page, and not those of a notebook's kernel. */
export function isPage() {
  return typeof globalThis.ninKernel === "function";
}

/**
 * Return {node, ask, failed}: what is loading or went wrong, to be shown; ask(request, picture), which asks when it can;
 * and failed(), whether the last question had no answer.
 *
 * request: {networks, want, size, moved}. picture: bytes, grey. answered: called with {size, logits: {network: numbers},
 * maps: {name: {shape, data}}, picture, request}. changed: called when an answer, or its want, is to be shown.
 */
export function asking(model, answered, changed) {
  const t = translator(model);
  const bar = element("progress");
  const text = element("span");
  const loading = element("p", { class: "nin-loading", hidden: true }, bar, " ", text);
  const problem = element("p", { class: "nin-refusal", role: "alert" });
  let [id, flying, next, timer] = [0, null, null, 0];
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => land({ kind: "error", message: NOBODY }), PATIENCE);
  };
  const fly = () => {
    if (flying || !next) return;
    [flying, next] = [next, null];
    id += 1;
    wait();
    model.send({ kind: "run", id, ...flying.request }, undefined, [flying.picture]);
  };
  const land = (message, buffers) => {
    clearTimeout(timer);
    const asked = flying;
    flying = null;
    loading.hidden = true;
    problem.textContent = message.kind === "error" ? `✗ ${t(message.message)}` : "";
    if (message.kind === "answer") answered({ ...unpack(message, buffers), ...asked });
    changed();
    fly();
  };
  model.on("msg:custom", (message, buffers) => {
    if (message.kind === "progress" && flying) {
      wait();
      loading.hidden = false;
      Object.assign(bar, { max: message.total, value: message.loaded });
      const [loaded, total] = [message.loaded, message.total].map((bytes) => (bytes / 1e6).toFixed(1));
      text.textContent = t("the network is loading: {loaded} of {total} MB", { loaded, total });
    } else if (message.id === id && flying) land(message, buffers);
  });
  const ask = (request, picture) => {
    next = { request, picture };
    fly();
  };
  return { node: element("div", {}, loading, problem), ask, failed: () => problem.textContent !== "" };
}

function unpack({ size, logits, shapes }, buffers) {
  const arrays = Object.entries(shapes).map(([name, shape], i) => {
    const { buffer, byteOffset, byteLength } = buffers[i];
    return [name, { shape, data: new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength)) }];
  });
  return { size, logits, maps: Object.fromEntries(arrays) };
}

/** Return the shares (they add up to 1) that softmax makes of logits. */
export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Return the index of the largest number. */
export function largest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

/** Return the answer that comes with the model's state, so that there is something to see before a network is asked. */
export function firstAnswer(model) {
  const { size, logits, maps } = model.get("first");
  if (isPage()) model.set("size", model.get("page_size"));
  const arrays = Object.entries(maps).map(([name, { shape, data }]) => [
    name,
    { shape, data: Float32Array.from(data) },
  ]);
  const moved = [model.get("down") ?? 0, model.get("right") ?? 0];
  return {
    size,
    logits,
    maps: Object.fromEntries(arrays),
    picture: chosenPicture(model),
    request: { moved, number: model.get("number") },
  };
}

/** Return, for a page, whose answers are shown. here: whether they were computed on this page. */
export function whoAnswers(model, here) {
  const t = translator(model);
  if (!isPage()) return "";
  if (here)
    return t("On this page the network that comes with the package answers, trained on Fashion-MNIST at 195 pixels.");
  return t(
    "This is what the notebook's network answered. Change something, and the network that comes with the package is loaded (18 MB) and answers here.",
  );
}
