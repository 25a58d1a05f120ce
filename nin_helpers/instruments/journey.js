/** One garment's way through the trained network: each block's maps before and after its 1 × 1 layers, and one pixel's channels. */
import { fields, networkWindows } from "./arithmetic.js";
import { asking, firstAnswer, largest, softmax, whoAnswers } from "./asking.js";
import { element, mount, put, svg, translator, word } from "./parts.js";
import { bytesOf, chooser, chosenPicture, paint } from "./pictures.js";
import { arrowStep, inside, onDrag, pixelAt } from "./pointing.js";

const SHOWN = 8; // maps of each half
const HALVES = [word("before"), word("after")]; // the 1 × 1 layers
const [WIDTH, HEIGHT, HIGH] = [240, 176, 54]; // of the drawing of one pixel's channels and of each of its two parts, in its own units

/**
 * Return what a half of a block shows: {shape, maps: [{channel, values, most}, …], column(row, column)}.
 *
 * The maps are those that vary most from pixel to pixel, the strongest first. column: all channels of one pixel.
 */
function halfOf({ shape, data }) {
  const [channels, height, width] = shape;
  const area = height * width;
  const strengths = Array.from({ length: channels }, (_, c) => [spread(data.subarray(c * area, (c + 1) * area)), c]);
  strengths.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const maps = strengths.slice(0, SHOWN).map(([, channel]) => {
    const values = data.subarray(channel * area, (channel + 1) * area);
    return { channel, values, most: values.reduce((a, b) => Math.max(a, b), 1e-9) };
  });
  return {
    shape,
    maps,
    column: (row, column) => Array.from({ length: channels }, (_, c) => data[c * area + row * width + column]),
  };
}

/** Return the block, row and column that the model has. */
function placeOf(model) {
  return ["block", "row", "column"].map((name) => model.get(name));
}

function spread(values) {
  let [sum, squares] = [0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  return squares / values.length - (sum / values.length) ** 2;
}

/** Return the halves as they come with the model's state: the strongest maps in bytes, and one pixel's channels; else null. */
function firstHalves(model) {
  const place = placeOf(model).join();
  const halves = Object.entries(model.get("first").halves).map(([name, { shape, channels, bytes, column }]) => {
    const [all, area] = [bytesOf(bytes), shape[1] * shape[2]];
    const maps = channels.map((channel, i) => ({ channel, values: all.subarray(i * area, (i + 1) * area), most: 255 }));
    return [name, { shape, maps, column: () => (placeOf(model).join() === place ? column : null) }];
  });
  return Object.fromEntries(halves);
}

/** Return a block as it is shown, {node, draw}: its maps before and after, in each a frame around the pixel. */
function blockRow(model, number, t, seePlace) {
  const halves = HALVES.map(() =>
    Array.from({ length: SHOWN }, () => [element("canvas", { width: 1, height: 1 }), element("i"), element("span")]),
  );
  const isClass = (half) => half === 1 && number + 1 === model.get("blocks").length; // the maps of the classes

  const captions = HALVES.map(() => element("figcaption"));
  let shape = [0, 1, 1];
  const step = (event) => {
    const way = arrowStep(event);
    if (!way) return;
    const [, height, width] = shape;
    const [block, row, column] = placeOf(model);
    const here = block === number ? [row, column] : [height >> 1, width >> 1];
    seePlace(number, ...inside([here[0] + way[0], here[1] + way[1]], height, width));
  };
  const figures = halves.map((cells, half) => {
    for (const [canvas] of cells) {
      onDrag(canvas, (event) => seePlace(number, ...pixelAt(event, canvas, shape[1], shape[2])));
    }
    const label = t("block {number}, {half} the 1 × 1 layers: the arrow keys choose a pixel", {
      number: number + 1,
      half: t(HALVES[half]),
    });
    const grid = element(
      "div",
      { class: "nin-grid", tabindex: 0, role: "application", "aria-label": label },
      ...cells.map((cell) => element("div", {}, ...cell)),
    );
    grid.addEventListener("keydown", step);
    return element("figure", {}, captions[half], grid);
  });
  const head = element("h4", {}, t("block {number}", { number: number + 1 }));
  const arrow = element("span", { class: "nin-arrow", "aria-hidden": true }, "→");
  const node = element("section", { class: "nin-block" }, head, figures[0], arrow, figures[1]);
  const draw = (pair) => {
    const texts = [
      t("its {kernel} × {kernel} window", { kernel: model.get("blocks")[number][0] }),
      t("its 1 × 1 layers"),
    ];
    pair.forEach((half, i) => {
      shape = half.shape;
      const size = t("{channels} maps of {height} × {width}", {
        channels: shape[0],
        height: shape[1],
        width: shape[2],
      });
      captions[i].replaceChildren(texts[i], element("br"), size);
      halves[i].forEach(([canvas, frame, name], k) => {
        canvas.parentNode.hidden = k >= half.maps.length;
        if (k >= half.maps.length) return;
        const { channel } = half.maps[k];
        glow(canvas, half.maps[k], shape);
        canvas.title = t("channel {channel}", { channel });
        name.textContent = isClass(i) ? t(model.get("classes")[channel]) : "";
        Object.assign(frame.style, { width: `${100 / shape[2]}%`, height: `${100 / shape[1]}%` });
      });
    });
  };
  const mark = (block, row, column) => {
    for (const [, frame] of halves.flat()) {
      frame.hidden = block !== number;
      Object.assign(frame.style, { left: `${(100 * column) / shape[2]}%`, top: `${(100 * row) / shape[1]}%` });
    }
  };
  return { node, draw, mark };
}

/** The colours of a map: dark where it is silent, through blue to a bright yellow; 256 of them, as bytes. */
const GLOW = Array.from({ length: 256 }, (_, i) => {
  const level = i / 255;
  return [255 * Math.min(1, 1.6 * level * level + 0.05), 235 * level ** 0.8, 70 + 208 * level * (1 - level), 255].map(
    Math.round,
  );
});

/** Draw a map into a canvas of its own size. */
function glow(canvas, { values, most }, [, height, width]) {
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    image.data.set(GLOW[Math.round((255 * Math.max(0, values[i])) / most)], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Return the channels of one pixel before and after the 1 × 1 layers, strongest first, one above the other: {node, draw}. */
function columns(t) {
  const bottoms = [HIGH + 14, HEIGHT - 2];
  const frames = bottoms.map((bottom) =>
    svg("rect", { class: "nin-frame", x: 0, y: bottom - HIGH, width: WIDTH, height: HIGH }),
  );
  const paths = HALVES.map(() => svg("path", { class: "nin-column" }));
  const counts = bottoms.map((bottom) => svg("text", { x: WIDTH, y: bottom - HIGH - 3, "text-anchor": "end" }));
  const heads = bottoms.map((bottom, i) => svg("text", { x: 0, y: bottom - HIGH - 3 }, t(HALVES[i])));
  const ends = [0, 1, 2].map((place) => (WIDTH * (place + 0.5)) / 3);
  const lines = ends.flatMap((x1) =>
    ends.map((x2) => svg("line", { x1, x2, y1: bottoms[0] + 3, y2: bottoms[1] - HIGH - 15 })),
  );
  const node = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "nin-columns", "aria-hidden": true },
    ...frames,
    ...lines,
    ...paths,
    ...heads,
    ...counts,
  );
  const draw = (pair) => {
    pair.forEach((channels, i) => {
      const sorted = [...channels].sort((a, b) => b - a);
      const [most, step] = [Math.max(sorted[0], 1e-9), WIDTH / sorted.length];
      const points = sorted.map(
        (value) => `V${(bottoms[i] - (HIGH * Math.max(0, value)) / most).toFixed(1)}h${step.toFixed(3)}`,
      );
      paths[i].setAttribute("d", `M0 ${bottoms[i]}${points.join("")}V${bottoms[i]}Z`);
      counts[i].textContent = t("{open} of {all} above 0", {
        open: sorted.filter((value) => value > 0).length,
        all: sorted.length,
      });
    });
  };
  return { node, draw };
}

/** Return the names of the strongest channels of a pixel with their values. */
function strongest(channels) {
  const order = channels.map((value, channel) => [value, channel]).sort((a, b) => b[0] - a[0]);
  return order.slice(0, 3).map(([value, channel]) => `${channel} (${value.toFixed(1)})`);
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const [blocks, side] = [model.get("blocks"), model.get("side")];
    const windows = networkWindows(blocks, model.get("pool"));
    let [found, halves, here, stale] = [firstAnswer(model), firstHalves(model), false, true];
    const answered = (answer) => {
      [found, here, stale] = [answer, true, true];
      halves = Object.fromEntries(Object.entries(answer.maps).map(([name, maps]) => [name, halfOf(maps)]));
    };
    const question = asking(model, answered, () => mounted.update());
    const ask = () =>
      question.ask(
        { networks: model.get("networks"), want: ["logits", "blocks"], size: model.get("size"), moved: [0, 0] },
        chosenPicture(model),
      );
    const seePlace = (block, row, column) => {
      put(model, { block, row, column });
      if (!here) ask(); // the state has the channels of one pixel only
    };
    const rows = blocks.map((_, number) => blockRow(model, number, t, seePlace));
    const picture = element("canvas", { width: side, height: side });
    const field = element("i");
    const column = columns(t);
    const [title, names] = [element("h4"), element("p", { class: "nin-note" })];
    const stage = element("div", { class: "nin-stage" }, picture, field);
    const pixel = element("div", { class: "nin-pixel" }, stage, element("div", {}, title, column.node, names));
    const note = element("p", { class: "nin-note" });
    const showField = (block, row, at) => {
      const places = fields(found.size, windows.slice(0, 2 * block + 1));
      const share = (value) => (100 * Math.max(0, Math.min(found.size, value))) / found.size;
      const [top, bottom, left, right] = [places[row][0], places[row][1] + 1, places[at][0], places[at][1] + 1].map(
        share,
      );
      Object.assign(field.style, {
        top: `${top}%`,
        left: `${left}%`,
        height: `${bottom - top}%`,
        width: `${right - left}%`,
      });
    };
    const draw = () => {
      const block = model.get("block");
      const [, height, width] = halves[`block${block + 1}.before`].shape;
      const [row, at] = [Math.min(model.get("row"), height - 1), Math.min(model.get("column"), width - 1)];
      paint(picture, question.failed() ? found.picture : chosenPicture(model), side);
      const pairOf = (number) => HALVES.map((half) => halves[`block${number + 1}.${half}`]);
      if (stale) for (const [number, each] of rows.entries()) each.draw(pairOf(number));
      stale = false;
      for (const each of rows) each.mark(block, row, at);
      showField(block, row, at);
      const pair = pairOf(block).map((half) => half.column(row, at));
      const logits = Object.values(found.logits)[0];
      const best = largest(logits);
      note.textContent = whoAnswers(model, here);
      const answer = { answer: t(model.get("classes")[best]), share: Math.round(100 * softmax(logits)[best]) };
      const place = { number: block + 1, row, column: at };
      title.textContent = t(
        "block {number}, row {row}, column {column}: all channels of this pixel, strongest first",
        place,
      );
      const known = pair.every(Boolean);
      column.draw(known ? pair : [[0], [0]]);
      if (!known) return t("In the end the answer is {answer}, with {share} %.", answer);
      const [first, second] = pair.map((channels) => strongest(channels).join(", "));
      names.textContent = t(
        "The block's perceptron makes the lower ones out of the upper ones. The strongest: channels {first}; then {second}.",
        { first, second },
      );
      const [before, after] = pair.map((channels) => channels.filter((value) => value > 0).length);
      const counts = { number: block + 1, all: pair[0].length, made: pair[1].length, before, after, ...answer };
      return t(
        "Block {number}: of {all} channels at this pixel {before} are above 0 before its 1 × 1 layers, and {after} of {made} behind them. In the end the answer is {answer}, with {share} %.",
        counts,
      );
    };
    model.on("change:number change:own", ask);
    const way = element("div", { class: "nin-way" }, ...rows.map(({ node }) => node));
    const body = element("div", { class: "nin-two" }, way, pixel);
    const mounted = mount(model, el, "journey", [chooser(model), body, note, question.node], draw);
    return mounted;
  },
};
