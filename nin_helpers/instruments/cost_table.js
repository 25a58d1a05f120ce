/** What each layer costs, for any input size; a click on a column's head sorts by it. */
import { layerCosts, outputSize } from "./arithmetic.js";
import { commas, element, mount, put, Refusal, slider, translator, word, write } from "./parts.js";

const NETWORK = word("network"); // the order of the calls
const KEYS = {
  [word("parameters")]: "parameters",
  [word("multiply–accumulates")]: "macs",
  [word("bytes of output")]: "bytes",
};

/** Return the smallest picture that every window of the layers fits. */
function smallestOf(layers) {
  const windows = layers.filter((layer) => layer.k !== undefined && layer.type !== "AdaptiveAvgPool2d");
  for (let size = 1; ; size++) {
    if (windows.reduce((n, { k, s, p }) => (n === null ? null : outputSize(n, k, s, p)), size) !== null) return size;
  }
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const layers = model.get("layers");
    const smallest = smallestOf(layers);
    const sort = (order) => put(model, { order: model.get("order") === order ? NETWORK : order });
    const heads = Object.keys(KEYS).map((order) =>
      element("th", { scope: "col" }, element("button", { type: "button", onclick: () => sort(order) }, t(order))),
    );
    const names = [word("layer"), word("type"), word("output")].map((name) =>
      element("th", { scope: "col", class: `nin-${name}` }, t(name)),
    );
    const rows = layers.map(({ name, type }) => {
      const shape = element("td");
      const cells = heads.map(() => element("td", { class: "nin-cost" }));
      const row = element(
        "tr",
        {},
        element("td", {}, name),
        element("td", { class: "nin-type" }, type),
        shape,
        ...cells,
      );
      return { row, shape, cells };
    });
    const body = element("tbody", {}, ...rows.map(({ row }) => row));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...names, ...heads)), body);
    let arranged = rows.map((_, i) => i).join();
    const draw = () => {
      const size = model.get("input_size");
      if (size < smallest)
        throw new Refusal(t("{size} pixels are too few: {smallest} is the smallest that works", { size, smallest }));
      const costs = layerCosts(layers, model.get("channels"), size);
      const keys = Object.values(KEYS);
      const largest = keys.map((key) => Math.max(1, ...costs.map((cost) => cost[key])));
      costs.forEach((cost, i) => {
        write(rows[i].shape, cost.shape.join(" × "));
        keys.forEach((key, column) => {
          const cell = rows[i].cells[column];
          const share = `${((100 * cost[key]) / largest[column]).toFixed(1)}%`;
          write(cell, commas(cost[key]));
          cell.classList.toggle("nin-hidden", cost[key] === 0);
          if (cell.style.getPropertyValue("--share") !== share) cell.style.setProperty("--share", share);
        });
      });
      const order = model.get("order");
      const indices = costs.map((_, i) => i);
      if (order in KEYS) indices.sort((a, b) => costs[b][KEYS[order]] - costs[a][KEYS[order]]);
      if (indices.join() !== arranged) {
        body.append(...indices.map((i) => rows[i].row));
        arranged = indices.join();
      }
      heads.forEach((head, i) => {
        head.setAttribute("aria-sort", Object.keys(KEYS)[i] === order ? "descending" : "none");
      });
      const totals = Object.entries(KEYS).map(
        ([name, key]) => `${commas(costs.reduce((sum, cost) => sum + cost[key], 0))} ${t(name)}`,
      );
      return t("{size} × {size} pixels, by {order}: {first} comes first. In all {totals}.", {
        size,
        order: t(order),
        first: costs[indices[0]].name,
        totals: totals.join(", "),
      });
    };
    const controls = element("div", { class: "nin-controls" }, slider(model, "input_size", t("input size"), 28, 320));
    return mount(model, el, "cost-table", [controls, element("div", { class: "nin-scroll" }, table)], draw);
  },
};
