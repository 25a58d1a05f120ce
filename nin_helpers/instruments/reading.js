// From the pixels of a file to what a network of the chapter gets: nin_helpers.preprocessing.read_picture, once more.
// `rgba`: bytes, four to a pixel, as a canvas has them; transparency is not yet multiplied in.

// Return Uint8Array (size · size): grey, the middle square, resized; what is transparent lies on white, or on black
// where the thing itself is light. invert: for a dark thing on a light ground.
export function seenGrey(rgba, width, height, size, invert = false) {
  const small = resizeSquare(rgba, width, height, size);
  const grey = new Float64Array(size * size);
  let [light, opaque] = [0, 0];
  for (let i = 0; i < grey.length; i++) {
    const [red, green, blue, alpha] = small.subarray(4 * i, 4 * i + 4);
    grey[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16; // as Pillow weighs them
    light += grey[i] * alpha;
    opaque += alpha;
  }
  const ground = light > 127.5 * opaque ? 0 : 255;
  return Uint8Array.from(grey, (level, i) => {
    const seen = Math.round(ground + ((level - ground) * small[4 * i + 3]) / 255);
    return invert ? 255 - seen : seen;
  });
}

// Pillow's ImageOps.fit: the middle square, resized by bicubic weights that widen with the pixels that they average.
function resizeSquare(rgba, width, height, size) {
  const side = Math.min(width, height);
  const across = bicubicWeights(width, (width - side) / 2, side, size);
  const down = bicubicWeights(height, (height - side) / 2, side, size);
  const whole = multiplyAlpha(rgba);
  const rows = weigh(whole, height, size, across, (y, x, c) => 4 * (y * width + x) + c, false);
  return divideAlpha(weigh(rows, size, size, down, (y, x, c) => 4 * (y * size + x) + c, true));
}

// Weigh along x, or (along) along y; each result is rounded to a byte.
function weigh(from, rows, columns, weights, place, along) {
  const found = new Uint8ClampedArray(4 * rows * columns);
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const [first, shares] = weights[along ? y : x];
      for (let c = 0; c < 4; c++, at++) {
        let sum = 0;
        for (let k = 0; k < shares.length; k++)
          sum += shares[k] * from[along ? place(first + k, x, c) : place(y, first + k, c)];
        found[at] = Math.floor(sum + 0.5);
      }
    }
  }
  return found;
}

// Return for each of `size` new pixels [first old pixel, its and its neighbours' shares], which add up to 1.
function bicubicWeights(length, start, side, size) {
  const scale = side / size;
  const wide = Math.max(1, scale);
  return Array.from({ length: size }, (_, at) => {
    const centre = start + (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const last = Math.min(length, Math.trunc(centre + 2 * wide + 0.5));
    const shares = Array.from({ length: last - first }, (_, k) => cubic((first + k - centre + 0.5) / wide));
    const sum = shares.reduce((total, share) => total + share, 0);
    return [first, shares.map((share) => share / sum)];
  });
}

function cubic(distance) {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

function multiplyAlpha(rgba) {
  return rgba.map((level, i) => (i % 4 === 3 ? level : Math.round((level * rgba[i | 3]) / 255)));
}

function divideAlpha(rgba) {
  return rgba.map((level, i) => {
    const alpha = rgba[i | 3];
    return i % 4 === 3 || alpha === 0 || alpha === 255 ? level : Math.min(255, Math.trunc((255 * level) / alpha));
  });
}
