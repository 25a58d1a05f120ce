/** The first steps of three trainings side by side: blind, dead, learning; each can be given another start and rate. */
import { element, mount, put, svg, translator, valueSlider, word } from "./parts.js";
import { onDrag, shareAt } from "./pointing.js";

const PANELS = [
  { key: "loss", title: word("loss"), low: 0, high: 4, ends: ["0", "4"] },
  { key: "live", title: word("live channels"), low: 0, high: 1, ends: ["0", "1"] },
  { key: "gradient", title: word("gradient"), low: 1e-2, high: 1e3, log: true, ends: ["10⁻²", "10³"] },
];
const SPREAD = { title: word("spread, layer by layer"), low: 1e-6, high: 10, log: true, ends: ["10⁻⁶", "10"] };
const [WIDTH, HEIGHT] = [200, 84];

/** Return how high a value stands in a panel, in its pixels from the top; what lies outside stands on the edge. */
function heightOf({ low, high, log }, value) {
  const [from, to, at] = log ? [low, high, Math.max(value, low)].map(Math.log10) : [low, high, value];
  return HEIGHT * (1 - Math.max(0, Math.min(1, (at - from) / (to - from))));
}

function lineOf(panel, points) {
  return points
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([x, value], i) => `${i ? "L" : "M"}${(x * WIDTH).toFixed(1)} ${heightOf(panel, value).toFixed(1)}`)
    .join("");
}

/** Return a number in three digits, such as 2.30, 0.00012 or 140. */
function short(value) {
  if (value === null || value === undefined) return "–";
  return value !== 0 && Math.abs(value) < 0.01 ? value.toExponential(1).replace("-", "−") : value.toPrecision(3);
}

/** Return a panel: its title and value, a curve, a mark where the step is, and a dashed line at `level`. */
function panelOf(panel, t, level) {
  const [curve, mark] = [svg("path", { class: "nin-curve" }), svg("line", { class: "nin-mark", y1: 0, y2: HEIGHT })];
  const frame = svg("rect", { class: "nin-frame", width: WIDTH, height: HEIGHT });
  const parts = [frame, mark, curve];
  if (level !== undefined) {
    const y = heightOf(panel, level);
    parts.push(svg("line", { class: "nin-level", x1: 0, x2: WIDTH, y1: y, y2: y }));
    parts.push(svg("text", { x: WIDTH - 3, y: y - 3, "text-anchor": "end" }, "ln 10"));
  }
  const ends = panel.ends.map((end, top) =>
    svg("text", { x: WIDTH - 3, y: top ? 3 : HEIGHT - 3, "text-anchor": "end", class: top ? "nin-top" : "" }, end),
  );
  const drawing = svg("svg", { viewBox: `0 -2 ${WIDTH} ${HEIGHT + 4}`, "aria-hidden": true }, ...parts, ...ends);
  const value = element("b");
  const node = element("figure", {}, element("figcaption", {}, element("span", {}, t(panel.title)), value), drawing);
  return { node, drawing, curve, mark, value };
}

/** Let the reader point at a step in a drawing, or drag over it. */
function pointAtSteps(model, drawing, steps) {
  onDrag(drawing, (event) => {
    const wanted = steps.at(-1) * shareAt(event, drawing)[1];
    const away = (step) => Math.abs(step - wanted);
    put(model, { step: steps.reduce((best, step) => (away(step) < away(best) ? step : best)) });
  });
}

/** Return how a run ends, in one word and in a sentence. */
function endOf(states, t) {
  const last = states.at(-1);
  const values = { loss: last.loss?.toFixed(last.loss > 2.2 ? 4 : 2), step: last.step };
  if (last.loss === null) return [t("diverged"), t("the numbers are no longer finite")];
  const onLine = Math.abs(last.loss - Math.log(10)) < 0.01 * Math.log(10);
  if (onLine && last.gradient === 0) return [t("dead"), t("loss {loss}: stuck, and no gradient is left", values)];
  if (onLine) return [t("blind"), t("loss {loss}, ln 10 = 2.3026: stuck", values)];
  if (last.loss > Math.log(10)) return [t("worse"), t("loss {loss}: worse than guessing", values)];
  return [t("learning"), t("loss {loss}, below ln 10 = 2.30: learning", values), true];
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const live = new Map(); // "init lr": states that the kernel has sent
    const statesOf = ([init, lr]) =>
      live.get(`${init} ${lr}`) ?? model.get("runs").find((run) => run.init === init && run.lr === lr).states;
    const steps = model.get("runs")[0].states.map((state) => state.step);
    const columns = model.get("shown").map((_, i) => {
      const change = (part, value) => {
        const shown = model.get("shown").map((pair) => [...pair]);
        shown[i][part] = value;
        put(model, { shown });
      };
      const select = (part, label, values) => {
        const options = values.map((value) => element("option", { value }, `${value}`));
        const node = element(
          "select",
          { "aria-label": `${label}, ${i + 1}`, onchange: () => change(part, values[node.selectedIndex]) },
          ...options,
        );
        return { node, values };
      };
      const [init, lr] = [select(0, t("start"), model.get("inits")), select(1, t("learning rate"), model.get("rates"))];
      const word = element("strong", { class: "nin-word" });
      const panels = PANELS.map((panel) => panelOf(panel, t, panel.key === "loss" ? Math.log(10) : undefined));
      const spread = panelOf(SPREAD, t);
      for (const { drawing } of panels) pointAtSteps(model, drawing, steps);
      const button = element(
        "button",
        {
          type: "button",
          onclick: () => {
            const [start, rate] = model.get("shown")[i];
            live.set(`${start} ${rate}`, []);
            button.disabled = true;
            model.send({ kind: "live", init: start, lr: rate });
          },
        },
        t("run live"),
      );
      button.hidden = !model.get("can_run");
      const head = element("div", {}, init.node, " ", lr.node, " ", button);
      const node = element("div", { class: "nin-run" }, head, word, ...panels.map((panel) => panel.node), spread.node);
      return { node, init, lr, word, panels, spread, button };
    });
    const draw = () => {
      const step = model.get("step");
      const told = columns.map(({ node, init, lr, word, panels, spread }, i) => {
        const pair = model.get("shown")[i];
        init.node.selectedIndex = init.values.indexOf(pair[0]);
        lr.node.selectedIndex = lr.values.indexOf(pair[1]);
        const states = statesOf(pair);
        if (!states.length) return t("{name}: runs …", { name: pair.join(", lr ") });
        const last = steps.at(-1);
        const now = states.findLast((state) => state.step <= step) ?? states[0];
        panels.forEach((panel, p) => {
          panel.value.textContent = short(now[PANELS[p].key]);
          const points = states.map((state) => [state.step / last, state[PANELS[p].key]]);
          panel.curve.setAttribute("d", lineOf(PANELS[p], points));
          panel.mark.setAttribute("transform", `translate(${(WIDTH * step) / last} 0)`);
        });
        spread.curve.setAttribute(
          "d",
          lineOf(
            SPREAD,
            now.spread.map((value, layer) => [layer / (now.spread.length - 1), value]),
          ),
        );
        spread.mark.setAttribute("transform", "translate(-9 0)");
        const [end, sentence, learns] = endOf(states, t);
        word.textContent = end;
        node.classList.toggle("nin-learns", learns === true);
        const name = pair.join(", lr ");
        if (now === states.at(-1)) return t("{name}: at step {step}, {sentence}", { name, step: now.step, sentence });
        const loss = short(now.loss);
        return t("{name}: at step {step}, loss {loss}; {end} in the end", { name, step: now.step, loss, end });
      });
      return `${told.join("; ")}.`;
    };
    const controls = element("div", { class: "nin-controls" }, valueSlider(model, "step", t("step"), steps));
    const picture = element("div", { class: "nin-runs" }, ...columns.map((column) => column.node));
    const down = mount(model, el, "stuck-or-learning", [controls, picture], draw);
    const listen = (message) => {
      const states = live.get(`${message.init} ${message.lr}`);
      if (message.kind === "state") states.push(message.state);
      if (message.kind === "done") for (const { button } of columns) button.disabled = false;
      put(model, { step: message.state?.step ?? model.get("step") });
      el.querySelector(".nin-result").textContent = draw();
    };
    model.on("msg:custom", listen);
    return () => {
      model.off("msg:custom", listen);
      down();
    };
  },
};
