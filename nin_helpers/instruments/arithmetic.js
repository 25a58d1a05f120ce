/**
 * What the instruments reckon: sizes, costs, and a perceptron at a pixel.
 *
 * Each function does what one of the package does, in Python; tests/test_instruments.py compares them over random cases.
 */

/** Return the pixels behind a window of k pixels with stride s and padding p over n pixels; null where none fits. */
export function outputSize(n, k, s = 1, p = 0) {
  return n + 2 * p < k ? null : Math.floor((n + 2 * p - k) / s) + 1;
}

/**
 * Return the steps that a square picture goes down: of each window what it is, and {size, k, s, p, output, unused, there}.
 *
 * windows: [{k, s, p}, …]. output is null from the first window on that does not fit; `there`, the pixels
 * that it meets, is null behind it.
 */
export function ladder(inputSize, windows) {
  let size = inputSize;
  return windows.map((window) => {
    const { k, s, p } = window;
    const there = size === null ? null : size + 2 * p;
    const output = size === null ? null : outputSize(size, k, s, p);
    const step = { ...window, size, there, output, unused: output === null ? null : (there - k) % s };
    size = output;
    return step;
  });
}

/**
 * Return the windows of a network, [{kind, number, channels, k, s, p}, …]: of its blocks and, between them, of its poolings.
 *
 * blocks: [[kernel, stride, padding, channels], …]. pool: [kernel, stride].
 */
export function networkWindows(blocks, pool) {
  const [k, s] = pool;
  const windows = blocks.flatMap(([kernel, stride, padding, channels], i) => [
    { kind: "block", number: i + 1, channels, k: kernel, s: stride, p: padding },
    { kind: "pool", number: i + 1, channels, k, s, p: 0 },
  ]);
  return windows.slice(0, -1);
}

/** Return the parameters of a convolution from c to d channels, weights and biases. */
export function convolutionParameters(c, d, k) {
  return k * k * c * d + d;
}

/** Return the side of the map of `windows` behind a picture of inputSize pixels; null where a window does not fit. */
export function lastSize(inputSize, windows) {
  return ladder(inputSize, windows).at(-1).output;
}

/** Return the smallest picture for which every one of `windows` fits. */
export function smallestSize(windows) {
  let size = 1;
  while (lastSize(size, windows) === null) size += 1;
  return size;
}

/** Return the parameters of each head on a last map of `features` channels and side × side pixels. */
export function headParameters(side, classes, features) {
  const flat = features * side * side;
  const linear = (inputs, outputs) => (inputs + 1) * outputs;
  return {
    gap: linear(features * 9, classes) + 2 * linear(classes, classes),
    fc: linear(flat, classes),
    fc3: linear(flat, 4096) + linear(4096, 4096) + linear(4096, classes),
  };
}

/**
 * Return what each layer costs on one picture: [{name, type, shape, parameters, macs, bytes}, …].
 *
 * layers: [{name, type, k, s, p, out}, …] in the order of the calls; a layer without k keeps the size, unless its type
 * says otherwise. Bytes are those of its output, in FP32.
 */
export function layerCosts(layers, channels, inputSize) {
  let [c, size, flat] = [channels, inputSize, false];
  return layers.map(({ name, type, k, s, p, out }) => {
    let [parameters, macs] = [0, 0];
    if (type === "Conv2d") {
      size = outputSize(size, k, s, p);
      parameters = convolutionParameters(c, out, k);
      macs = size * size * k * k * c * out;
      c = out;
    } else if (type === "MaxPool2d") {
      size = outputSize(size, k, s, p);
    } else if (type === "AdaptiveAvgPool2d") {
      size = 1;
    } else if (type === "Flatten") {
      [c, size, flat] = [c * size * size, 1, true];
    }
    const shape = flat ? [c] : [c, size, size];
    return { name, type, shape, parameters, macs, bytes: 4 * shape.reduce((a, b) => a * b, 1) };
  });
}

/** Return the sums of a perceptron, weights · values + bias: weights[output][input], values[input], biases[output]. */
export function perceptron(weights, values, biases) {
  return weights.map((row, output) => row.reduce((sum, weight, input) => sum + weight * values[input], biases[output]));
}

/**
 * Return the maps of a convolution that keeps the size, and its ReLU: maps[output][pixel].
 *
 * maps: of its input, [channel][pixel], of side × side pixels. weights: [output][input][row][column], a window of odd
 * side. biases: [output].
 */
export function convolution(maps, side, weights, biases) {
  const middle = (weights[0][0].length - 1) / 2;
  return weights.map((kernels, output) => {
    const result = new Float64Array(side * side);
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        let sum = biases[output];
        kernels.forEach((kernel, input) => {
          kernel.forEach((line, dy) => {
            line.forEach((weight, dx) => {
              const [y, x] = [row + dy - middle, column + dx - middle];
              if (y >= 0 && y < side && x >= 0 && x < side) sum += weight * maps[input][y * side + x];
            });
          });
        });
        result[row * side + column] = Math.max(sum, 0);
      }
    }
    return result;
  });
}

/** Return maps[channel][pixel] with their pixels in another order. */
export function shuffle(maps, order) {
  return maps.map((map) => order.map((from) => map[from]));
}

/** Return [[first, last], …]: which of n pixels each one behind `windows` sees; beyond the edges lies padding. */
export function fields(n, windows) {
  let [first, extent, step, size] = [0, 1, 1, n];
  for (const { k, s, p } of windows) {
    size = outputSize(size, k, s, p);
    first -= p * step;
    extent += (k - 1) * step;
    step *= s;
  }
  return Array.from({ length: size }, (_, at) => [first + at * step, first + at * step + extent - 1]);
}
