/** What NiN's average costs beside fully connected heads, for any picture and number of classes. */
import { headParameters, lastSize, smallestSize } from "./arithmetic.js";
import { commas, element, mount, Refusal, slider, translator } from "./parts.js";

/** The bars are logarithmic, from a thousand parameters to ten thousand millions. */
const share = (count) => Math.max(0, (Math.log10(count) - 3) / 7);

function windowsOf(model) {
  const [k, s] = model.get("pool");
  const blocks = model.get("blocks").slice(0, -1);
  return blocks.flatMap(([kernel, stride, padding]) => [
    { k: kernel, s: stride, p: padding },
    { k, s, p: 0 },
  ]);
}

export default {
  render({ model, el }) {
    const t = translator(model);
    const windows = windowsOf(model);
    const smallest = smallestSize(windows);
    const cells = ["gap", "fc", "fc3"].map((head) => {
      const [name, fill, count, text] = ["span", "i", "b", "span"].map((tag) => element(tag));
      name.textContent = head;
      text.className = "nin-formula";
      return { head, name, fill, count, text, bar: element("span", { class: "nin-bar" }, fill, count) };
    });
    const picture = element("div", { class: "nin-ladder" }, ...cells.flatMap((c) => [c.name, c.bar, c.text]));
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
