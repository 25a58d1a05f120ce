/**
 * What answers the instruments of a page in place of a notebook's kernel: the trained networks, in a worker.
 *
 * All instruments of a page share one worker, and it starts, and fetches the networks, at the first question.
 */
(() => {
  const { src, dataset } = document.currentScript; // the pages of all languages share one folder of networks
  const waiting = new Map();
  let worker;
  let keys = 0;

  function start() {
    const made = new Worker(new URL(`${dataset.networks ?? "network/"}worker.js`, src), { type: "module" });
    made.onmessage = ({ data: { key, message, buffers } }) => {
      waiting.get(key)(
        message,
        buffers.map((buffer) => new DataView(buffer)),
      );
      if (message.kind !== "progress") waiting.delete(key);
    };
    made.onerror = () => {
      for (const [key, answer] of waiting)
        answer(
          { kind: "error", id: answer.id, message: "These pages were made without the network." },
          waiting.delete(key),
        );
      worker = undefined;
    };
    return made;
  }

  window.ninKernel = (content, buffers, answer) => {
    if (content.kind !== "run") return;
    if (location.protocol === "file:") {
      const message =
        "A page that is opened as a file may not run the network: open it over a server, such as python -m http.server.";
      setTimeout(() => answer({ kind: "error", id: content.id, message }));
      return;
    }
    worker ??= start();
    keys += 1;
    waiting.set(
      keys,
      Object.assign((...parts) => answer(...parts), { id: content.id }),
    );
    worker.postMessage({ ...content, key: keys, picture: buffers[0] });
  };
})();
