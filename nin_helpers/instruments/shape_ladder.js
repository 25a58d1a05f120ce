/** The ladder of heights and widths that a picture goes down in NiN, for any windows; the reader predicts first. */
import { ladder, networkWindows } from "./arithmetic.js";
import { checkbox, element, mount, numberBox, put, slider, translator, word } from "./parts.js";

const PARTS = [
  [word("kernel"), 1, 11],
  [word("stride"), 1, 4],
  [word("padding"), 0, 5],
  [word("channels"), 1, 512],
];

const NAMES = { block: word("block {number}"), pool: word("pool {number}") };

/** Return the steps of the model's windows, each with its name. */
function stepsOf(model, t) {
  const windows = networkWindows(model.get("blocks"), model.get("pool"));
  const named = windows.map((window) => ({ ...window, name: t(NAMES[window.kind], window) }));
  return ladder(model.get("input_size"), named);
}

function formula({ size, k, s, p }) {
  return `⌊(${size ?? "?"} + 2·${p} − ${k}) / ${s}⌋ + 1`;
}

/** Return why a window does not fit, or null. */
function problemOf(step, t) {
  if (step.there === null || step.output !== null) return null;
  const text = "{name} needs a window of {k}, but only {there} pixels are there";
  return t(step.there === 1 ? "{name} needs a window of {k}, but only 1 pixel is there" : text, step);
}

/** Return the rows below the input: [{name, size or null, text, kind}, …]; of the steps the first `told` are known. */
function rowsOf(steps, told, t) {
  const hides = steps.slice(told).some((step) => step.output !== null);
  const rows = steps.map((step, i) => {
    const text = t("{channels} channels, {formula}", { channels: step.channels, formula: formula(step) });
    const problem = problemOf(step, t);
    if (problem && !hides) return { name: step.name, size: null, text: problem, kind: "broken" };
    if (step.output === null) return { name: step.name, size: null, text: "", kind: hides ? "hidden" : "missing" };
    if (i < told) {
      const unused = step.unused ? t(", {unused} unused", step) : "";
      return { name: step.name, size: step.output, text: `${text} = ${step.output}${unused}`, kind: "known" };
    }
    return {
      name: step.name,
      size: null,
      text: i > told ? text.replace(`(${step.size} `, "(? ") : text,
      kind: "hidden",
    };
  });
  if (hides || steps.at(-1).output === null) {
    return [...rows, { name: t("average"), size: null, text: "", kind: hides ? "hidden" : "missing" }];
  }
  const text = t("{channels} numbers, one for each class", steps.at(-1));
  return [...rows, { name: t("average"), size: 1, text, kind: "known" }];
}

function sentenceOf(model, steps, told, t) {
  const input = model.get("input_size");
  const known = steps.slice(0, told).filter((step) => step.output !== null);
  const path = [input, ...known.map((step) => step.output)].join(" → ");
  const verdict = model.get("verdict");
  const next = steps.slice(told).find((step) => step.output !== null);
  if (next) {
    const question = t("{path} → ? How many pixels are there behind {name}?", { path, name: next.name });
    return `${verdict} ${question}`.trim();
  }
  const problem = steps.map((step) => problemOf(step, t)).find(Boolean);
  if (problem) return `${verdict} ${path} → ✗ ${problem}.`.trim();
  const unused = known.filter((step) => step.unused).map((step) => t("{unused} before {name}", step));
  const end = t("{path} → 1, the average of each of {channels} maps; rows that no window reaches: {unused}.", {
    path,
    channels: steps.at(-1).channels,
    unused: unused.join(", ") || t("none"),
  });
  return `${verdict} ${end}`.trim();
}

/** Judge a typed prediction of the next hidden size, and tell one step more. */
function judge(model, text, t) {
  const steps = stepsOf(model, t);
  const asked = steps.slice(model.get("told")).find((step) => step.output !== null);
  if (!asked) return "";
  if (!/^\d+$/.test(text)) {
    return t("your prediction is “{text}”, but must be a whole number of pixels, such as 26", { text });
  }
  const values = { name: asked.name, formula: formula(asked), output: asked.output };
  const verdict = Number(text) === asked.output ? t("Right") : t("Not {text}", { text: Number(text) });
  const told = t("behind {name} there are {formula} = {output} pixels.", values);
  put(model, { told: model.get("told") + 1, verdict: `${verdict}: ${told}` });
  return "";
}

function windowTable(model, t) {
  const rows = model.get("blocks").map((_, block) => {
    const name = t(NAMES.block, { number: block + 1 });
    const cells = PARTS.map(([part, lowest, highest], column) => {
      const get = () => model.get("blocks")[block][column];
      const set = (value) => {
        const blocks = model.get("blocks").map((row) => [...row]);
        blocks[block][column] = value;
        put(model, { blocks, told: 0, verdict: "" });
      };
      const label = `${t(part)}, ${name}`;
      return element("td", {}, numberBox(model, { label, lowest, highest, get, set }));
    });
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
  });
  const heads = PARTS.map(([part]) => element("th", { scope: "col" }, t(part)));
  return element("table", {}, element("tr", {}, element("td"), ...heads), ...rows);
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const refusal = element("span", { class: "nin-refusal", role: "alert" });
    const guess = element("input", { type: "text", inputmode: "numeric", size: 6, id: `nin-guess-${Math.random()}` });
    const form = element(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          refusal.textContent = judge(model, guess.value.trim(), t);
          if (!refusal.textContent) guess.value = "";
        },
      },
      element("label", { for: guess.id }, t("your prediction, in pixels:")),
      " ",
      guess,
      " ",
      element("button", {}, t("check")),
      refusal,
    );
    let asked = ""; // the picture, and whether sizes are hidden: when they change, predictions no longer hold
    const cells = [t("input"), ...stepsOf(model, t).map((step) => step.name), t("average")].map((name) => {
      const [label, fill, size, text] = ["span", "i", "b", "span"].map((tag) => element(tag));
      label.textContent = name;
      text.className = "nin-formula";
      return { label, fill, size, text, bar: element("span", { class: "nin-bar" }, fill, size) };
    });
    const picture = element("div", { class: "nin-ladder" }, ...cells.flatMap((c) => [c.label, c.bar, c.text]));
    const draw = () => {
      const now = `${model.get("input_size")} ${model.get("predict")}`;
      if (asked && asked !== now) put(model, { told: 0, verdict: "" });
      asked = now;
      const steps = stepsOf(model, t);
      const told = model.get("predict") ? model.get("told") : steps.length;
      form.hidden = !model.get("predict");
      const rows = [{ size: model.get("input_size"), text: "", kind: "known" }, ...rowsOf(steps, told, t)];
      const widest = Math.max(...rows.map((row) => row.size ?? 0));
      rows.forEach(({ size, text, kind }, i) => {
        const cell = cells[i];
        cell.fill.style.width = `${(100 * (size ?? 0)) / widest}%`;
        cell.size.textContent = { known: size, hidden: "?", broken: "✗", missing: "–" }[kind];
        cell.text.textContent = text;
        for (const node of [cell.label, cell.size, cell.text])
          node.classList.toggle("nin-hidden", kind === "hidden" || kind === "missing");
      });
      return sentenceOf(model, steps, told, t);
    };
    const controls = element(
      "div",
      { class: "nin-controls" },
      slider(model, "input_size", t("input size"), 28, 320),
      checkbox(model, "predict", t("predict first")),
      form,
    );
    const windows = element(
      "details",
      {},
      element("summary", {}, t("Change the windows")),
      element("div", { class: "nin-scroll" }, windowTable(model, t)),
    );
    return mount(model, el, "shape-ladder", [controls, picture, windows], draw);
  },
};
