/** Where the network finds evidence for each class: its last maps over a picture, and their means, the logits. */
import { fields, networkWindows, smallestSize } from "./arithmetic.js";
import { asking, firstAnswer, largest, softmax, whoAnswers } from "./asking.js";
import { element, mount, put, slider, svg, translator } from "./parts.js";
import { chooser, chosenPicture, paint } from "./pictures.js";

const MAPS = "block4.after";

/** Return the picture with a class's map over it: {node, draw}; a place that is pointed at shows what it sees. */
function stage(model) {
  const side = model.get("side");
  const canvas = element("canvas", { width: side, height: side });
  const squares = svg("g");
  const seen = svg("rect", { class: "nin-seen" });
  const drawing = svg("svg", { preserveAspectRatio: "none", "aria-hidden": true }, squares, seen);
  const node = element("div", { class: "nin-stage" }, canvas, drawing);
  let size = 0;
  const lay = (places) => {
    const step = places.length > 1 ? places[1][0] - places[0][0] : size;
    const middles = places.map(([first, last]) => (first + last + 1) / 2);
    const all = middles.flatMap((y, row) =>
      middles.map((x, column) => {
        const square = svg("rect", { x: x - step / 2, y: y - step / 2, width: step, height: step });
        square.addEventListener("pointerenter", () => show(places[row], places[column]));
        return square;
      }),
    );
    squares.replaceChildren(...all);
    show();
  };
  const show = ([top, bottom] = [0, -1], [left, right] = [0, -1]) => {
    const clip = (value) => Math.max(1, Math.min(size - 1, value));
    const [y, x] = [clip(top), clip(left)];
    const box = { x, y, width: Math.max(0, clip(right + 1) - x), height: Math.max(0, clip(bottom + 1) - y) };
    for (const [name, value] of Object.entries(box)) seen.setAttribute(name, value);
  };
  drawing.addEventListener("pointerleave", () => show());
  const draw = (picture, values, brightest, places, newSize) => {
    paint(canvas, picture, side);
    if (newSize !== size) {
      size = newSize;
      drawing.setAttribute("viewBox", `0 0 ${size} ${size}`);
      lay(places);
    }
    [...squares.children].forEach((square, i) => {
      square.style.fillOpacity = (0.75 * values[i]) / brightest;
    });
  };
  return { node, draw };
}

/** Return the rows of the classes: a button each, with its map, its name, a bar and its logit; {node, draw}. */
function classRows(model, t) {
  const rows = model.get("classes").map((name, index) => {
    const canvas = element("canvas", { width: 1, height: 1 });
    const [bar, value] = [element("i"), element("span", { class: "nin-value" })];
    const parts = [canvas, element("span", {}, t(name)), element("span", { class: "nin-bar" }, bar), value];
    const button = element(
      "button",
      { type: "button", class: "nin-class", onclick: () => put(model, { chosen: index }) },
      ...parts,
    );
    return { canvas, bar, value, button };
  });
  const draw = (maps, [height, width], logits, chosen, brightest) => {
    const most = Math.max(...logits, 1e-9);
    rows.forEach(({ canvas, bar, value, button }, index) => {
      button.setAttribute("aria-pressed", index === chosen);
      bar.style.width = `${(100 * Math.max(0, logits[index])) / most}%`;
      value.textContent = logits[index].toFixed(2).replace("-", "−");
      heat(canvas, maps.subarray(index * height * width, (index + 1) * height * width), width, brightest);
    });
  };
  const node = element(
    "div",
    { class: "nin-classes", role: "group", "aria-label": t("class") },
    ...rows.map(({ button }) => button),
  );
  return { node, draw };
}

/** Draw a map into a small canvas: orange, the brighter the more evidence. */
function heat(canvas, values, width, brightest) {
  Object.assign(canvas, { width, height: values.length / width });
  const image = new ImageData(width, canvas.height);
  values.forEach((value, i) => {
    image.data.set([230, 159, 0, (255 * Math.max(0, value)) / brightest], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const windows = networkWindows(model.get("blocks"), model.get("pool"));
    let [found, here] = [firstAnswer(model), false];
    const answered = (answer) => {
      [found, here] = [answer, true];
    };
    const question = asking(model, answered, () => mounted.update());
    const [picture, rows] = [stage(model), classRows(model, t)];
    const note = element("p", { class: "nin-note" });
    const draw = () => {
      const { size, maps, logits: all } = found;
      const [{ shape, data }, logits] = [maps[MAPS], Object.values(all)[0]];
      const answer = largest(logits);
      const chosen = model.get("chosen") < 0 ? answer : model.get("chosen");
      const [area, places] = [shape[1] * shape[2], fields(size, windows)];
      const brightest = Math.max(...data, 1e-9);
      const map = data.subarray(chosen * area, (chosen + 1) * area);
      picture.draw(question.failed() ? found.picture : chosenPicture(model), map, brightest, places, size);
      rows.draw(data, shape.slice(1), logits, chosen, brightest);
      const whole = places.every(([from, to]) => from <= 0 && to >= size - 1);
      const part = whole
        ? t("sees all that the network reads of the picture")
        : t("sees a part of the picture: point at one");
      const seen = t("At {size} pixels each place of a map {part}.", { size, part });
      note.textContent = `${seen} ${whoAnswers(model, here)}`.trim();
      const classes = model.get("classes").map((name) => t(name));
      return t(
        "{name}: the mean of its {size} map is {mean}, and that is its logit. The answer is {answer}, with {share} %.",
        {
          name: classes[chosen],
          size: shape.slice(1).join(" × "),
          mean: (map.reduce((sum, value) => sum + value, 0) / area).toFixed(2),
          answer: classes[answer],
          share: Math.round(100 * softmax(logits)[answer]),
        },
      );
    };
    const ask = () =>
      question.ask(
        { networks: model.get("networks"), want: ["logits", "maps"], size: model.get("size"), moved: [0, 0] },
        chosenPicture(model),
      );
    model.on("change:number", () => model.set("chosen", -1));
    model.on("change:number change:own change:size", ask);
    const sizes = element(
      "div",
      { class: "nin-controls" },
      slider(model, "size", t("size of the picture in pixels"), smallestSize(windows), 224),
    );
    const body = element("div", { class: "nin-two" }, picture.node, rows.node);
    const mounted = mount(model, el, "where-it-looks", [chooser(model), body, sizes, note, question.node], draw);
    return mounted;
  },
};
