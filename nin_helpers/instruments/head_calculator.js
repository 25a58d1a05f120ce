/** What NiN's average costs beside fully connected heads, for any picture and number of classes. */
import { headParameters, lastSize, networkWindows, smallestSize } from "./arithmetic.js";
import { commas, element, mount, Refusal, slider, translator, word } from "./parts.js";

/** What the heads are, and the ends of their bars, which are logarithmic: from 10³ parameters to 10¹⁰. */
const HEADS = { gap: word("average"), fc: word("1 layer"), fc3: word("3 layers") };
const TICKS = ["10³", "10⁴", "10⁵", "10⁶", "10⁷", "10⁸", "10⁹", ""];
const share = (count) => Math.max(0, (Math.log10(count) - 3) / (TICKS.length - 1));

export default {
  render({ model, el }) {
    const t = translator(model);
    const windows = networkWindows(model.get("blocks"), model.get("pool")).slice(0, -1); // a head takes the place of the last block
    const smallest = smallestSize(windows);
    const cells = Object.entries(HEADS).map(([head, what]) => {
      const [name, fill, count, text] = ["span", "i", "b", "span"].map((tag) => element(tag));
      name.append(element("b", {}, head), ` ${t(what)}`);
      text.className = "nin-formula";
      return { head, name, fill, count, text, bar: element("span", { class: "nin-bar" }, fill, count) };
    });
    const axis = element(
      "span",
      { class: "nin-axis", "aria-hidden": true },
      ...TICKS.map((tick) => element("i", {}, tick)),
    );
    const rows = cells.flatMap((c) => [c.name, c.bar, c.text]);
    const picture = element("div", { class: "nin-ladder" }, ...rows, element("span"), axis, element("span"));
    const draw = () => {
      const [size, classes, features] = ["input_size", "classes", "features"].map((name) => model.get(name));
      const side = lastSize(size, windows);
      if (side === null)
        throw new Refusal(t("{size} pixels are too few: {smallest} is the smallest that works", { size, smallest }));
      const counts = headParameters(side, classes, features);
      for (const { head, fill, count, text } of cells) {
        fill.style.width = `${100 * share(counts[head])}%`;
        count.textContent = commas(counts[head]);
        const memory = commas((4 * counts[head]) / 2 ** 20, 1);
        const takes = head === "gap" ? t("any size from {smallest}", { smallest }) : t("{size} only", { size });
        text.textContent = t("{memory} MiB, takes {takes}", { memory, takes });
      }
      const numbers = Object.entries(counts).map(([head, count]) => `${head} ${commas(count)}`);
      const map = `${features} × ${side} × ${side}`;
      return t(
        "On a last map of {map}, for {classes} classes: parameters {numbers}. Training with Adam holds four times the MiB of the weights. The bars are logarithmic.",
        { map, classes, numbers: numbers.join(", ") },
      );
    };
    const controls = element(
      "div",
      { class: "nin-controls" },
      slider(model, "input_size", t("input size"), 28, 320),
      slider(model, "classes", t("classes"), 2, 1000),
    );
    return mount(model, el, "head-calculator", [controls, picture], draw);
  },
};
