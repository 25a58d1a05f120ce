/** Where a reader points at a picture, with a mouse or a finger, and which way with the arrow keys. */

/** Return [down, right], as shares of a node's height and width, of where an event of the pointer is. */
export function shareAt({ clientX, clientY }, node) {
  const { top, left, height, width } = node.getBoundingClientRect();
  return [(clientY - top) / height, (clientX - left) / width];
}

/** Return the [row, column] of the pixel, one of rows × columns, that a pointer is on or, beside the picture, near. */
export function pixelAt(event, node, rows, columns) {
  const [down, right] = shareAt(event, node);
  return inside([Math.floor(down * rows), Math.floor(right * columns)], rows, columns);
}

/** Return a [row, column], moved inside rows × columns pixels if it lies beside them. */
export function inside([row, column], rows, columns) {
  return [Math.max(0, Math.min(rows - 1, row)), Math.max(0, Math.min(columns - 1, column))];
}

/** Call act(event) where a pointer is pressed on a node, and where it moves while it is. */
export function onDrag(node, act) {
  node.addEventListener("pointerdown", act);
  node.addEventListener("pointermove", (event) => {
    if (event.buttons) act(event);
  });
}

/** Return the step [down, right] of an arrow key, which then scrolls nothing; undefined for any other key. */
export function arrowStep(event) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (step) event.preventDefault();
  return step;
}
