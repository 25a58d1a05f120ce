/** The picture that a network gets: one of those given, one that the reader draws, or a file. */
import { checkbox, element, put, translator } from "./parts.js";
import { arrowStep, inside, shareAt } from "./pointing.js";
import { seenGrey } from "./reading.js";

const MOST = 2048; // pixels; a larger file is made smaller by the browser first

/** Return the bytes that a text in base64 holds, and the text for bytes. */
export function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export function textOf(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

/** Return the bytes (side · side) of the picture that is chosen: number `number` of those given, or the reader's own. */
export function chosenPicture(model) {
  const [number, side] = [model.get("number"), model.get("side")];
  if (number < 0) return bytesOf(model.get("own"));
  return bytesOf(model.get("pictures")).slice(number * side * side, (number + 1) * side * side);
}

/** Draw grey bytes (side · side) into a canvas of as many pixels. */
export function paint(canvas, picture, side) {
  const image = new ImageData(side, side);
  picture.forEach((level, i) => {
    image.data.fill(level, 4 * i, 4 * i + 3);
    image.data[4 * i + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Return what chooses the picture: those given in a row, a pad to draw on, and a file. */
export function chooser(model) {
  const t = translator(model);
  const problem = element("p", { class: "nin-refusal", role: "alert" });
  const pad = drawingPad(model, t);
  const draw = element("button", { type: "button", onclick: () => pad.open() }, t("draw on it"));
  const [load, file] = fileButton(model, t, problem);
  const buttons = element(
    "div",
    { class: "nin-controls" },
    draw,
    load,
    file,
    checkbox(model, "invert", t("my file is dark on light")),
  );
  return element("div", { class: "nin-chooser" }, thumbnails(model, t), buttons, pad.node, problem);
}

function thumbnails(model, t) {
  const [side, all] = ["side", "pictures"].map((name) => model.get(name));
  const count = bytesOf(all).length / side ** 2;
  const buttons = Array.from({ length: count }, (_, number) => {
    const canvas = element("canvas", { width: side, height: side });
    paint(canvas, bytesOf(all).subarray(number * side * side, (number + 1) * side * side), side);
    const label = t("picture {number}", { number: number + 1 });
    return element("button", { type: "button", "aria-label": label, onclick: () => put(model, { number }) }, canvas);
  });
  const show = () => {
    for (const [number, button] of buttons.entries())
      button.setAttribute("aria-pressed", number === model.get("number"));
  };
  model.on("change:number", show);
  show();
  return element("div", { class: "nin-thumbnails", role: "group", "aria-label": t("picture") }, ...buttons);
}

/** Return a pad, on which the picture that is chosen can be changed with a mouse, a finger, or the keyboard. */
function drawingPad(model, t) {
  const side = model.get("side");
  const label = t("drawing: arrow keys move, the space bar paints");
  const canvas = element("canvas", { width: side, height: side, tabindex: 0, role: "img", "aria-label": label });
  const cursor = element("i");
  const rub = element("input", { type: "checkbox" });
  let [picture, place, last] = [null, [side >> 1, side >> 1], null];
  const show = () => {
    picture = chosenPicture(model);
    paint(canvas, picture, side);
  };
  const keep = () => put(model, { own: textOf(picture), number: -1 });
  const stroke = (y, x) => {
    brush(picture, side, y, x, rub.checked ? 0 : 255);
  };
  const at = (event) => shareAt(event, canvas).map((share) => share * side);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    stroke(...last);
    keep();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons || !last) return;
    const now = at(event);
    const steps = Math.ceil(Math.hypot(now[0] - last[0], now[1] - last[1])) || 1;
    for (let i = 1; i <= steps; i++) stroke(...[0, 1].map((k) => last[k] + ((now[k] - last[k]) * i) / steps));
    last = now;
    keep();
  });
  const moveCursor = (down, right) => {
    place = inside([place[0] + down, place[1] + right], side, side);
    Object.assign(cursor.style, { top: `${(100 * place[0]) / side}%`, left: `${(100 * place[1]) / side}%` });
  };
  canvas.addEventListener("keydown", (event) => {
    const way = arrowStep(event);
    if (way) return moveCursor(...way);
    if (event.key !== " ") return;
    event.preventDefault();
    stroke(place[0] + 0.5, place[1] + 0.5);
    keep();
  });
  const clear = () => {
    picture = new Uint8Array(side * side);
    keep();
  };
  cursor.style.width = cursor.style.height = `${100 / side}%`;
  moveCursor(0, 0);
  const tools = element(
    "div",
    { class: "nin-tools" },
    element("button", { type: "button", onclick: clear }, t("clear")),
    element("label", { class: "nin-checkbox" }, rub, element("span", {}, t("rub out"))),
    element("span", { class: "nin-hidden" }, t("Draw bright on dark; add a sleeve, or take one away.")),
  );
  const node = element("div", { class: "nin-pad", hidden: true }, element("div", {}, canvas, cursor), tools);
  model.on("change:own change:number", show);
  const open = () => {
    node.hidden = !node.hidden;
    show();
  };
  return { node, open };
}

/** Let a round brush, a little more than a pixel wide, pull what is under it towards a level. */
function brush(picture, side, y, x, level) {
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const cover = Math.max(0, Math.min(1, 1.6 - Math.hypot(row + 0.5 - y, column + 0.5 - x)));
      const i = row * side + column;
      picture[i] = Math.round(picture[i] + cover * (level - picture[i]));
    }
  }
}

/** Return the button that asks for a file, and its hidden field. */
function fileButton(model, t, problem) {
  const file = element("input", { type: "file", accept: "image/*", hidden: true });
  const button = element("button", { type: "button", onclick: () => file.click() }, t("load a file"));
  const read = async () => {
    if (!file.files.length) return;
    try {
      const [pixels, width, height] = await pixelsOf(file.files[0]);
      put(model, { own: textOf(seenGrey(pixels, width, height, model.get("side"), model.get("invert"))), number: -1 });
      problem.textContent = "";
    } catch {
      const why = t("{name} cannot be read as a picture; a PNG or JPEG can", { name: file.files[0].name });
      problem.textContent = `✗ ${why}`;
    }
  };
  file.addEventListener("change", read);
  model.on("change:invert", read);
  return [button, file];
}

/** Return [bytes, width, height] of a file, upright, as its browser decodes it. */
async function pixelsOf(file) {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const scale = Math.min(1, MOST / Math.min(image.width, image.height));
  const [width, height] = [image.width, image.height].map((length) => Math.round(length * scale));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return [context.getImageData(0, 0, width, height).data, width, height];
}
