/** A 1 × 1 convolution is a perceptron at each pixel; a 3 × 3 one is not. The reader picks the pixel. */
import { convolution, perceptron, shuffle } from "./arithmetic.js";
import { checkbox, choice, element, mount, put, slider, svg, translator, word } from "./parts.js";
import { onDrag, pixelAt } from "./pointing.js";

const INPUTS = [word("brightness"), word("change →"), word("change ↓")];

/** Return a map as a canvas to pick a pixel from, with a function that draws values[pixel] and the frame on it. */
function picker(model, label, side) {
  const canvas = element("canvas", { width: side, height: side });
  const frame = element("i", { style: `height: ${100 / side}%; width: ${100 / side}%` });
  let shown = null;
  onDrag(canvas, (event) => {
    const [row, column] = pixelAt(event, canvas, side, side);
    put(model, { row, column });
  });
  const paint = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const image = new ImageData(side, side);
    values.forEach((value, i) => {
      image.data.fill(high > low ? (255 * (value - low)) / (high - low) : 0, 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  const draw = (values, row, column) => {
    if (values !== shown) paint(values);
    shown = values;
    Object.assign(frame.style, { left: `${(100 * column) / side}%`, top: `${(100 * row) / side}%` });
  };
  const node = element(
    "figure",
    { class: "nin-map" },
    element("div", {}, canvas, frame),
    element("figcaption", {}, label),
  );
  return { node, draw };
}

/** Return the drawing of a perceptron from three units to four, with a function that puts weights and values on it. */
function network(inputs, outputs, t) {
  const [left, right] = [inputs, outputs].map((count) => (i) => 20 + ((i + 0.5) * 160) / count);
  const lines = Array.from({ length: outputs }, (_, o) =>
    Array.from({ length: inputs }, (_, i) => svg("line", { x1: 92, y1: left(i), x2: 228, y2: right(o) })),
  );
  const unit = (x, y) => {
    const [circle, text] = [
      svg("circle", { cx: x, cy: y, r: 20 }),
      svg("text", { x, y: y + 4, "text-anchor": "middle" }),
    ];
    return { circle, text };
  };
  const units = [
    Array.from({ length: inputs }, (_, i) => unit(74, left(i))),
    Array.from({ length: outputs }, (_, o) => unit(246, right(o))),
  ];
  const found = Array.from({ length: outputs }, (_, o) => svg("text", { x: 300, y: right(o) + 4 }));
  const names = Array.from({ length: inputs }, (_, i) =>
    svg("text", { x: 50, y: left(i) + 4, "text-anchor": "end" }, t(INPUTS[i])),
  );
  const heads = [
    svg("text", { x: 74, y: 12, "text-anchor": "middle" }, t("pixel")),
    svg("text", { x: 246, y: 12, "text-anchor": "middle" }, t("perceptron")),
    svg("text", { x: 300, y: 12 }, "Conv2d"),
  ];
  const all = units.flat().flatMap(({ circle, text }) => [circle, text]);
  const node = svg(
    "svg",
    { viewBox: "-24 0 380 180", class: "nin-network", "aria-hidden": true },
    ...lines.flat(),
    ...all,
    ...found,
    ...names,
    ...heads,
  );
  const draw = (weights, values, results, convolved) => {
    for (const [i, { style }] of lines.flat().entries()) {
      const weight = weights.flat()[i];
      style.strokeWidth = 4 * Math.abs(weight);
      style.stroke = weight < 0 ? "var(--nin-red)" : "var(--nin-blue)";
      style.strokeDasharray = weight < 0 ? "5 4" : "none";
    }
    units[0].forEach(({ text }, i) => {
      text.textContent = signed(values[i]);
    });
    units[1].forEach(({ circle, text }, o) => {
      text.textContent = signed(results[o]);
      circle.classList.toggle("nin-off", results[o] === 0);
      const same = Math.abs(results[o] - convolved[o]) < 1e-5;
      found[o].textContent = `${signed(convolved[o])} ${same ? "✓" : "≠"}`;
    });
  };
  return { node, draw };
}

/** Return a number with two decimals, and a minus that is one. */
function signed(value) {
  const text = value.toFixed(2);
  return (text === "-0.00" ? "0.00" : text).replace("-", "−");
}

/** Return how the sum of one output is reckoned; a term that is taken away has a minus. */
function sumOf(weights, values, bias) {
  const terms = weights.map((weight, i) => [weight, ` · ${signed(values[i])}`]);
  const others = [...terms.slice(1), [bias, ""]].map(
    ([number, rest]) => ` ${number < 0 ? "−" : "+"} ${Math.abs(number).toFixed(1)}${rest}`,
  );
  return `${signed(terms[0][0]).replace(/0$/, "")}${terms[0][1]}${others.join("")}`;
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const [side, order, biases, weights] = ["side", "order", "biases", "weights"].map((name) => model.get(name));
    const centres = weights.map((row) => row.map((kernel) => kernel[1][1]));
    const kernels = { 1: centres.map((row) => row.map((weight) => [[weight]])), 3: weights };
    const straight = model.get("maps");
    // what a convolution makes of the picture and of its pixels shuffled, for each window: there are four cases
    const cases = new Map();
    const caseOf = (window, shuffled) => {
      const key = `${window} ${shuffled}`;
      if (!cases.has(key)) {
        const maps = shuffled ? shuffle(straight, order) : straight;
        const outputs = convolution(maps, side, kernels[window], biases);
        const [first, second] = [
          shuffle(convolution(maps, side, kernels[window], biases), order),
          convolution(shuffle(maps, order), side, kernels[window], biases),
        ];
        const difference = Math.max(
          ...first.map((map, o) => Math.max(...map.map((value, i) => Math.abs(value - second[o][i])))),
        );
        cases.set(key, { maps, outputs, difference });
      }
      return cases.get(key);
    };
    const before = INPUTS.map((name) => picker(model, t(name), side));
    const behind = centres.map((_, o) => picker(model, t("output {number}", { number: o + 1 }), side));
    const arrow = element("span", { class: "nin-arrow", "aria-hidden": true }, "→");
    const maps = element(
      "div",
      { class: "nin-maps" },
      ...before.map((p) => p.node),
      arrow,
      ...behind.map((p) => p.node),
    );
    const drawing = network(INPUTS.length, centres.length, t);
    const lines = centres.map(() => element("span"));
    const rows = lines.map((line, o) => element("div", {}, element("b", {}, `${o + 1}: `), line));
    const sums = element("div", { class: "nin-sums" }, ...rows);
    const draw = () => {
      const [row, column, window, shuffled] = ["row", "column", "window", "shuffled"].map((name) => model.get(name));
      const { maps: inputs, outputs, difference } = caseOf(window, shuffled);
      for (const [i, each] of before.entries()) each.draw(inputs[i], row, column);
      for (const [o, each] of behind.entries()) each.draw(outputs[o], row, column);
      const pixel = row * side + column;
      const values = inputs.map((map) => map[pixel]);
      const totals = perceptron(centres, values, biases);
      const results = totals.map((total) => Math.max(total, 0));
      const convolved = outputs.map((map) => map[pixel]);
      drawing.draw(centres, values, results, convolved);
      lines.forEach((line, o) => {
        line.textContent = `${sumOf(centres[o], values, biases[o])} = ${signed(totals[o])}`;
      });
      const same = results.every((result, o) => Math.abs(result - convolved[o]) < 1e-5);
      return t(
        "Row {row}, column {column}: channels {channels}; the perceptron makes {results} of them, Conv2d {convolved}: {verdict}. Shuffled before or after {window} × {window}: {commutes}.",
        {
          row,
          column,
          window,
          channels: values.map(signed).join(", "),
          results: results.map(signed).join(", "),
          convolved: convolved.map(signed).join(", "),
          verdict: same ? t("the same") : t("not the same, it sees the neighbours too"),
          commutes:
            difference < 1e-5
              ? t("the same picture")
              : t("pictures that differ by up to {difference}", { difference: difference.toFixed(1) }),
        },
      );
    };
    const controls = element(
      "div",
      { class: "nin-controls" },
      choice(model, "window", t("window"), [
        [1, "1 × 1"],
        [3, "3 × 3"],
      ]),
      checkbox(model, "shuffled", t("shuffle the pixels")),
      element("span", { class: "nin-note" }, t("Click a pixel of any picture, or drag over it.")),
    );
    const place = element(
      "div",
      { class: "nin-controls" },
      slider(model, "row", t("row"), 0, side - 1),
      slider(model, "column", t("column"), 0, side - 1),
    );
    const below = element("div", { class: "nin-beside" }, drawing.node, sums);
    return mount(model, el, "pixel-perceptron", [controls, maps, place, below], draw);
  },
};
