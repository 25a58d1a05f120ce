/** What a shift changes: a picture that the reader drags, and what the average and a fully connected head say to it. */
import { asking, firstAnswer, largest, softmax, whoAnswers } from "./asking.js";
import { element, mount, put, slider, svg, translator, word } from "./parts.js";
import { chooser, chosenPicture, paint } from "./pictures.js";
import { arrowStep } from "./pointing.js";

const COLOURS = ["var(--nin-blue)", "var(--nin-orange)"];
const [WIDTH, HEIGHT] = [320, 120]; // of the curve, in its own units

/** Return the picture to be dragged, {node, draw}. */
function stage(model, t) {
  const side = model.get("side");
  const canvas = element("canvas", { width: side, height: side });
  const label = t("picture: drag it, or move it with the arrow keys");
  const node = element(
    "div",
    { class: "nin-stage nin-drag", tabindex: 0, role: "application", "aria-label": label },
    canvas,
  );
  const most = () => Math.floor(model.get("size") / 2);
  const moveTo = (down, right) => {
    const [y, x] = [down, right].map((value) => Math.max(-most(), Math.min(most(), Math.round(value))));
    put(model, { down: y, right: x });
  };
  let start = null;
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    start = [event.clientY, event.clientX, model.get("down"), model.get("right")];
  });
  node.addEventListener("pointermove", (event) => {
    if (!start || !event.buttons) return;
    const pixel = model.get("size") / node.clientWidth;
    moveTo(start[2] + (event.clientY - start[0]) * pixel, start[3] + (event.clientX - start[1]) * pixel);
  });
  node.addEventListener("keydown", (event) => {
    const way = arrowStep(event);
    const far = event.shiftKey ? 8 : 1;
    if (way) moveTo(model.get("down") + way[0] * far, model.get("right") + way[1] * far);
  });
  const draw = (picture, down, right) => {
    paint(canvas, picture, side);
    const share = (pixels) => `${(100 * pixels) / model.get("size")}%`;
    canvas.style.transform = `translate(${share(right)}, ${share(down)})`;
  };
  return { node, draw };
}

/** Return the classes with a bar for each network's share, {node, draw}. */
function shares(model, names, t) {
  const rows = model.get("classes").map((text) => {
    const bars = names.map((_, i) => element("i", { style: `background: ${COLOURS[i]}` }));
    const label = element("span", {}, t(text));
    return { bars, label, row: element("div", { class: "nin-share" }, label, element("span", {}, ...bars)) };
  });
  const answers = names.map((name, i) => {
    const answer = element("b");
    return { answer, head: element("div", { style: `border-color: ${COLOURS[i]}` }, t(NAMES[name] ?? name), answer) };
  });
  const draw = (found, truth) => {
    answers.forEach(({ answer }, i) => {
      const best = largest(found[i]);
      answer.textContent = `${best === truth ? "✓" : "✗"} ${t(model.get("classes")[best])}, ${percent(found[i][best])}`;
    });
    rows.forEach(({ bars, label }, index) => {
      label.classList.toggle("nin-truth", index === truth);
      bars.forEach((bar, i) => {
        bar.style.width = `${100 * found[i][index]}%`;
      });
    });
  };
  const heads = element("div", { class: "nin-answers" }, ...answers.map(({ head }) => head));
  return { node: element("div", { class: "nin-shares" }, heads, ...rows.map(({ row }) => row)), draw };
}

const NAMES = { gap: word("average"), fc: word("fully connected") };

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** Return the curve of what each network gives the true class, by the distance that the picture was moved: {node, draw}. */
function curve(names, farthest, t) {
  const y = (share) => 8 + (HEIGHT - 30) * (1 - share);
  const x = (distance) => 34 + ((WIDTH - 44) * Math.min(distance, farthest)) / farthest;
  const marks = names.map(() => svg("g"));
  const now = svg("line", { class: "nin-mark", y1: y(1), y2: y(0) });
  const text = (content, left, top, anchor = "middle") =>
    svg("text", { x: left, y: top, "text-anchor": anchor }, content);
  const labels = [0, 0.25, 0.5, 0.75, 1]
    .map((part) => Math.round(part * farthest))
    .map((distance) => text(distance, x(distance), HEIGHT - 8));
  const levels = [0, 0.5, 1].map((share) => text(percent(share), 30, y(share) + 4, "end"));
  const frame = svg("rect", { class: "nin-frame", x: x(0), y: y(1), width: x(farthest) - x(0), height: y(0) - y(1) });
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true },
    frame,
    now,
    ...marks,
    ...labels,
    ...levels,
  );
  const caption = element("figcaption", {}, t("share of the true class, by how many pixels the picture was moved"));
  const draw = (places, truth, distance) => {
    names.forEach((_, i) => {
      const dots = places.map((place) => [x(place.distance), y(place.shares[i][truth])]);
      marks[i].replaceChildren(...dots.map(([left, top]) => mark(i, left, top)));
    });
    now.setAttribute("x1", x(distance));
    now.setAttribute("x2", x(distance));
  };
  return { node: element("figure", { class: "nin-curve-over" }, drawing, caption), draw };
}

/** Return a whole number with a minus that is one. */
function whole(number) {
  return String(number).replace("-", "−");
}

/** Return a mark of network i: a disc or a square, so that its form tells it too. */
function mark(i, x, y) {
  const style = `fill: ${COLOURS[i]}`;
  return i === 0
    ? svg("circle", { cx: x, cy: y, r: 3, style })
    : svg("rect", { x: x - 2.6, y: y - 2.6, width: 5.2, height: 5.2, style });
}

/** Return the ways of the button that moves the picture by itself: [down, right], from the middle to all four sides. */
function allWays(most) {
  const steps = Array.from({ length: 12 }, (_, i) => Math.round(((i + 1) * most) / 12));
  const ways = [
    [0, 1],
    [0, -1],
    [1, 0],
    [-1, 0],
  ];
  return [...ways.flatMap((way) => steps.map((step) => way.map((part) => part * step))), [0, 0]];
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const names = model.get("networks");
    let [found, here, places, ways] = [firstAnswer(model), false, [], []];
    const sharesOf = ({ logits }) => names.map((name) => softmax(logits[name]));
    const remember = (answer) =>
      places.push({ distance: Math.hypot(...answer.request.moved), shares: sharesOf(answer) });
    remember(found);
    const answered = (answer) => {
      if (String(answer.picture) !== String(found.picture)) places = [];
      [found, here] = [answer, true];
      remember(found);
    };
    const goOn = () => {
      mounted.update();
      if (question.failed() || !ways.length) return;
      const [down, right] = ways.shift();
      put(model, { down, right });
    };
    const question = asking(model, answered, goOn);
    const truth = () => {
      const nearest = places.reduce((best, place) => (place.distance < best.distance ? place : best), places[0]);
      return model.get("labels")[found.request.number] ?? largest(nearest.shares[0]);
    };
    const most = Math.floor(model.get("size") / 2);
    const [picture, bars, over] = [stage(model, t), shares(model, names, t), curve(names, most, t)];
    const note = element("p", { class: "nin-note" });
    const draw = () => {
      const [down, right] = found.request.moved;
      if (question.failed()) picture.draw(found.picture, down, right);
      else picture.draw(chosenPicture(model), model.get("down"), model.get("right"));
      bars.draw(sharesOf(found), truth());
      over.draw(places, truth(), Math.hypot(down, right));
      note.textContent = whoAnswers(model, here);
      const classes = model.get("classes").map((name) => t(name));
      const answers = names.map((name) =>
        t("{network} says {answer}", { network: t(NAMES[name] ?? name), answer: classes[largest(found.logits[name])] }),
      );
      return t("{name}, moved {right} to the right, {down} down: {answers}.", {
        name: classes[truth()],
        right: whole(right),
        down: whole(down),
        answers: answers.join(", "),
      });
    };
    const ask = () => {
      const moved = [model.get("down"), model.get("right")];
      question.ask(
        { networks: names, want: ["logits"], size: model.get("size"), moved, number: model.get("number") },
        chosenPicture(model),
      );
    };
    const sweep = () => {
      ways = allWays(most);
      ask();
    };
    model.on("change:number change:own change:down change:right", ask);
    const controls = element(
      "div",
      { class: "nin-controls" },
      slider(model, "right", t("moved right"), -most, most),
      slider(model, "down", t("moved down"), -most, most),
      element("button", { type: "button", onclick: sweep }, t("move it in all four directions")),
    );
    const body = element("div", { class: "nin-two" }, picture.node, bars.node);
    for (const event of ["pointerdown", "keydown", "input"]) {
      el.addEventListener(
        event,
        () => {
          ways = []; // the reader's hand goes first
        },
        true,
      );
    }
    const mounted = mount(
      model,
      el,
      "shift-test",
      [chooser(model), body, controls, over.node, note, question.node],
      draw,
    );
    return mounted;
  },
};
