/**
 * The instruments on a page: each <div class="nin-still"> becomes what its notebook's cell shows with a kernel.
 *
 * Beside it stands the cell's state, as anywidget saves it in a notebook: the module's text is in it. What the module wants
 * of a kernel goes to `window.ninKernel`, where a page has one; see network.js.
 */

/** Return a model as anywidget gives one to a module: traits, events, and messages. */
function modelOf(state) {
  const listeners = new Map();
  const emit = (name, ...values) => {
    for (const listener of listeners.get(name) ?? []) listener(...values);
  };
  const model = {
    get: (name) => state[name],
    set(name, value) {
      if (Object.is(state[name], value)) return;
      state[name] = value;
      emit(`change:${name}`);
      emit("change");
    },
    on: (names, listener) => {
      for (const name of names.split(" ")) listeners.set(name, [...(listeners.get(name) ?? []), listener]);
    },
    off: (names, listener) => {
      for (const name of names.split(" "))
        listeners.set(
          name,
          (listeners.get(name) ?? []).filter((each) => each !== listener),
        );
    },
    save_changes() {},
    send: (content, _, buffers) =>
      window.ninKernel?.(content, buffers ?? [], (answer, views) => emit("msg:custom", answer, views ?? [])),
  };
  return model;
}

/** Put the instrument of one still in its place; what goes wrong leaves the still where it is. */
async function show(still) {
  const { _esm, ...state } = JSON.parse(still.querySelector("script").textContent);
  const address = URL.createObjectURL(new Blob([_esm], { type: "text/javascript" }));
  const module = await import(address);
  URL.revokeObjectURL(address);
  const el = document.createElement("div");
  await module.default.render({ model: modelOf(state), el });
  still.replaceWith(el);
}

for (const still of document.querySelectorAll(".nin-still")) show(still).catch(console.error);
