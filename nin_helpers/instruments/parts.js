/** What the instruments are made of: elements, controls that are bound to the model, and the reader's language. */

/** Return an HTML element with attributes, listeners (onclick, …) and children. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Return an SVG element, likewise. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Write a text into a node, if it is another one: then the browser need not lay the page out anew. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Return t(text, values): an English text in the reader's language, where the model has it, with each {name} filled in. */
export function translator(model) {
  const table = model.get("words") ?? {};
  return (text, values = {}) => (table[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Mark a text that a `t(variable)` will translate: `make translations` looks for such calls, as for those of t. */
export function word(text) {
  return text;
}

/** What can't be shown, and why; the picture stays as it was. */
export class Refusal extends Error {}

/**
 * Put the instrument `name` into `el`: its parts, and below them the sentence that `draw` returns, for screen readers too.
 *
 * draw is called at once, with the next frame when the model has changed, and by `update` of the function that is returned, which takes the
 * instrument down. A Refusal that it throws is shown in place of a sentence.
 */
export function mount(model, el, name, parts, draw) {
  const result = element("p", { class: "nin-result", "aria-live": "polite" });
  const refusal = element("p", { class: "nin-refusal", role: "alert" });
  el.classList.add("nin-instrument", `nin-${name}`);
  el.dataset.lmSuppressShortcuts = true; // JupyterLab's own keys
  el.addEventListener("keydown", (event) => event.stopPropagation()); // or its notebook takes the focus away
  el.replaceChildren(...parts, result, refusal);
  const update = () => {
    try {
      result.textContent = draw();
      refusal.textContent = "";
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusal.textContent = `✗ ${error.message}`;
    }
  };
  let frame = 0;
  const updateOnce = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(update);
  };
  model.on("change", updateOnce);
  update();
  const down = () => {
    model.off("change", updateOnce);
    cancelAnimationFrame(frame);
  };
  return Object.assign(down, { update });
}

/** Set values in the model, and tell the kernel if there is one. */
export function put(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/**
 * Return a box for a whole number. What cannot be is refused there, with the reason, and changes nothing.
 *
 * label: what it is called. get, set: read and change the number in the model.
 */
export function numberBox(model, { label, lowest, highest, get, set }) {
  const t = translator(model);
  const box = element("input", {
    type: "number",
    min: lowest,
    max: highest,
    step: 1,
    value: get(),
    "aria-label": label,
  });
  const reason = element("span", { class: "nin-refusal", role: "alert" });
  box.addEventListener("input", () => {
    const value = Number(box.value);
    const works = box.value !== "" && Number.isInteger(value) && value >= lowest && value <= highest;
    const wanted = t("{label}: a whole number from {lowest} to {highest}", { label, lowest, highest });
    reason.textContent = works ? "" : wanted;
    box.setAttribute("aria-invalid", !works);
    if (works) set(value);
  });
  model.on("change", () => {
    if (document.activeElement === box) return;
    box.value = get();
    reason.textContent = "";
    box.setAttribute("aria-invalid", false);
  });
  return element("span", { class: "nin-number" }, box, reason);
}

/** Return a slider, with its label and a box to type in, for the trait `name` of the model, a whole number. */
export function slider(model, name, label, lowest, highest) {
  const get = () => model.get(name);
  const set = (value) => put(model, { [name]: value });
  const range = element("input", { type: "range", min: lowest, max: highest, value: get(), "aria-label": label });
  range.addEventListener("input", () => set(Number(range.value)));
  model.on(`change:${name}`, () => {
    range.value = get();
  });
  const box = numberBox(model, { label, lowest, highest, get, set });
  return element("label", { class: "nin-slider" }, element("span", {}, label), range, box);
}

/** Return a slider over some values of the trait `name`, with the chosen one beside it. */
export function valueSlider(model, name, label, values) {
  const range = element("input", { type: "range", min: 0, max: values.length - 1, "aria-label": label });
  const shown = element("output");
  range.addEventListener("input", () => put(model, { [name]: values[range.value] }));
  const show = () => {
    range.value = values.indexOf(model.get(name));
    range.setAttribute("aria-valuetext", model.get(name));
    shown.textContent = model.get(name);
  };
  model.on(`change:${name}`, show);
  show();
  return element("label", { class: "nin-slider" }, element("span", {}, label), range, shown);
}

/** Return a box to tick for the trait `name`. */
export function checkbox(model, name, label) {
  const box = element("input", { type: "checkbox" });
  box.checked = model.get(name);
  box.addEventListener("change", () => put(model, { [name]: box.checked }));
  model.on(`change:${name}`, () => {
    box.checked = model.get(name);
  });
  return element("label", { class: "nin-checkbox" }, box, element("span", {}, label));
}

/** Return a row of buttons for the trait `name`, of which one is pressed. choices: [[value, text], …]. */
export function choice(model, name, label, choices) {
  const buttons = choices.map(([value, text]) =>
    element("button", { type: "button", onclick: () => put(model, { [name]: value }) }, text),
  );
  const show = () =>
    buttons.forEach((button, i) => {
      button.setAttribute("aria-pressed", choices[i][0] === model.get(name));
    });
  model.on(`change:${name}`, show);
  show();
  return element("div", { class: "nin-choice", role: "group", "aria-label": label }, ...buttons);
}

const FORMATS = [0, 1].map(
  (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

/** Return a number as a text with commas between thousands. */
export function commas(number, digits = 0) {
  return FORMATS[digits].format(number);
}
