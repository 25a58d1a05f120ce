/** What each layer costs, for any input size; a click on a column's head sorts by it. */
import { layerCosts, outputSize } from "./arithmetic.js";
import { commas, element, mount, put, Refusal, slider, translator } from "./parts.js";

const KEYS = { parameters: "parameters", "multiply–accumulates": "macs", "bytes of output": "bytes" };

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
    const sort = (order) => put(model, { order: model.get("order") === order ? "network" : order });
    const heads = Object.keys(KEYS).map((order) =>
      element("th", { scope: "col" }, element("button", { type: "button", onclick: () => sort(order) }, t(order))),
    );
    const names = ["layer", "type", "output"].map((name) => element("th", { scope: "col" }, t(name)));
    const rows = layers.map(({ name, type }) => {
      const shape = element("td");
      const cells = heads.map(() => element("td", { class: "nin-cost" }));
      const row = element("tr", {}, element("td", {}, name), element("td", {}, type), shape, ...cells);
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
        rows[i].shape.textContent = cost.shape.join(" × ");
        keys.forEach((key, column) => {
          rows[i].cells[column].textContent = commas(cost[key]);
          rows[i].cells[column].style.setProperty("--share", `${(100 * cost[key]) / largest[column]}%`);
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
