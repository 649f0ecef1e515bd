"use strict";
// The trained network: weights, a step for each character, probabilities of the next one, and drawing from them.
//
// Node runs this file too. Its numbers come from + - * / alone, whose results are the same in every browser (those of
// Math.exp and Math.tanh are not, in the last digit), so a seed draws the same text everywhere.

const LOG2_E = 1.4426950408889634;
const LN2_HIGH = 0.6931471803691238; // the sum of both is ln 2; small multiples of the first are exact
const LN2_LOW = 1.9082149292705877e-10;
const FACTORIALS = [1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800];
const TAYLOR = FACTORIALS.map((factorial) => 1 / factorial).reverse();
const power = new Float64Array(1);
const powerBits = new Uint32Array(power.buffer);

// exp(x) = 2^k exp(r) with r = x - k ln 2 near 0; 2^k is written as the bits of a number.
function exp(x) {
  if (x < -708) return 0;
  if (x > 709) return Infinity;
  const k = Math.floor(x * LOG2_E + 0.5);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  let sum = 0;
  for (let i = 0; i < TAYLOR.length; i++) sum = sum * r + TAYLOR[i];
  powerBits[1] = (k + 1023) << 20;
  return sum * power[0];
}

const sigmoid = (x) => 1 / (1 + exp(-x));
const tanh = (x) => 1 - 2 / (exp(2 * x) + 1);

// exp(x_i / temperature) / Σ exp(x_j / temperature), shifted by the largest x so that nothing overflows.
function softmax(x, temperature = 1) {
  const largest = x.reduce((most, value) => Math.max(most, value), -Infinity);
  const y = x.map((value) => exp((value - largest) / temperature));
  const sum = y.reduce((total, value) => total + value, 0);
  return y.map((value) => value / sum);
}

const ACTIVATIONS = {
  linear: (x) => x,
  tanh: (x) => x.map(tanh),
  sigmoid: (x) => x.map(sigmoid),
  relu: (x) => x.map((value) => Math.max(value, 0)),
  softmax: (x) => softmax(x),
};

// The bytes of a base64 text. Numbers are stored with the least significant byte first, as every browser reads them.
function bytes(base64) {
  const binary = atob(base64);
  const decoded = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) decoded[i] = binary.charCodeAt(i);
  return decoded.buffer;
}

// The value of a float16 number, given its bits: 1 for the sign, 5 for the exponent, 10 for the fraction.
function float16(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return bits >> 15 ? -size : size;
}

// A matrix with a row for each output.
class Matrix {
  constructor({ shape, numbers, scales }, precision) {
    [this.rows, this.columns] = shape;
    const stored = bytes(numbers);
    if (precision === "float32") {
      this.values = new Float32Array(stored);
    } else if (precision === "float16") {
      this.values = new Float32Array(new Uint16Array(stored).length);
      new Uint16Array(stored).forEach((bits, i) => (this.values[i] = float16(bits)));
    } else {
      const scaleOfRow = new Float32Array(bytes(scales));
      this.values = new Float32Array(stored.byteLength);
      new Int8Array(stored).forEach((number, i) => (this.values[i] = number * scaleOfRow[Math.floor(i / this.columns)]));
    }
  }

  // y_r = Σ_j W_rj x_j for the rows from … to - 1. Eight rows at a time take half as long as one by one.
  multiply(x, y, from = 0, to = this.rows) {
    const { values: W, columns } = this;
    let row = from;
    for (; row + 8 <= to; row += 8) {
      const i0 = row * columns, i1 = i0 + columns, i2 = i1 + columns, i3 = i2 + columns;
      const i4 = i3 + columns, i5 = i4 + columns, i6 = i5 + columns, i7 = i6 + columns;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
      for (let j = 0; j < columns; j++) {
        const value = x[j];
        s0 += W[i0 + j] * value;
        s1 += W[i1 + j] * value;
        s2 += W[i2 + j] * value;
        s3 += W[i3 + j] * value;
        s4 += W[i4 + j] * value;
        s5 += W[i5 + j] * value;
        s6 += W[i6 + j] * value;
        s7 += W[i7 + j] * value;
      }
      y[row] = s0, y[row + 1] = s1, y[row + 2] = s2, y[row + 3] = s3;
      y[row + 4] = s4, y[row + 5] = s5, y[row + 6] = s6, y[row + 7] = s7;
    }
    for (; row < to; row++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += W[row * columns + j] * x[j];
      y[row] = sum;
    }
  }

  row(id) {
    return Float64Array.from(this.values.subarray(id * this.columns, (id + 1) * this.columns));
  }

  column(id, y) {
    for (let row = 0; row < this.rows; row++) y[row] = this.values[row * this.columns + id];
  }
}

// A recurrent or dense layer. Its state, if it has one, begins at `offset` in the state of the network. The equations are
// those of `charrnn/layers/`, with the rows of one gate after those of another.
class Layer {
  constructor(described, precision, offset) {
    const { kind, size, reset_after: resetAfter, mogrifier } = described;
    Object.assign(this, { kind, size, resetAfter, mogrifier, offset });
    this.activate = ACTIVATIONS[described.activation ?? "linear"];
    this.input = new Matrix(described.input, precision);
    this.bias = new Float32Array(bytes(described.bias));
    this.a = new Float64Array(this.input.rows); // x W + b of all gates
    this.stateNames = { gru: ["h"], lstm: ["h", "c"], rnn: ["h"], dense: [] }[this.kind];
    if (this.kind === "dense") return;
    this.recurrent = new Matrix(described.recurrent, precision);
    this.products = new Float64Array(this.recurrent.rows); // h U of all gates but a mogrifier's
    if (this.resetAfter) this.recurrentBias = new Float32Array(bytes(described.recurrent_bias));
  }

  // The output for a vector, or for the id of a character whose column of the weights is looked up.
  read(x, state) {
    const { a, bias, size, offset } = this;
    if (typeof x === "number") this.input.column(x, a);
    else this.input.multiply(x, a);
    for (let i = 0; i < a.length; i++) a[i] += bias[i];
    if (this.kind === "dense") return this.activate(a);
    const own = Float64Array.from(state.subarray(offset, offset + size * this.stateNames.length));
    this[this.kind](a, own.subarray(0, size), own.subarray(size));
    state.set(own, offset); // which rounds it to float32
    return Float64Array.from(state.subarray(offset, offset + size));
  }

  gru(a, h) {
    const { size: H, products: p, recurrent: U, recurrentBias: u } = this;
    const m = (i) => 2 * sigmoid(a[3 * H + i]);
    const scaled = this.mogrifier ? h.map((value, i) => m(i) * value) : h;
    U.multiply(scaled, p, 0, u ? 3 * H : 2 * H);
    const r = (i) => sigmoid(a[i] + p[i]);
    if (u) {
      for (let i = 0; i < H; i++) p[2 * H + i] = r(i) * (p[2 * H + i] + u[i]);
    } else {
      U.multiply(scaled.map((value, i) => r(i) * value), p, 2 * H);
    }
    for (let i = 0; i < H; i++) {
      const z = sigmoid(a[H + i] + p[H + i]);
      h[i] = z * h[i] + (1 - z) * tanh(a[2 * H + i] + p[2 * H + i]);
    }
  }

  lstm(a, h, c) {
    const { size: H, products: p } = this;
    this.recurrent.multiply(h, p);
    const sum = (gate, i) => a[gate * H + i] + p[gate * H + i];
    for (let i = 0; i < H; i++) {
      c[i] = sigmoid(sum(2, i)) * c[i] + sigmoid(sum(1, i)) * tanh(sum(3, i));
      h[i] = sigmoid(sum(0, i)) * tanh(c[i]);
    }
  }

  rnn(a, h) {
    this.recurrent.multiply(h, this.products);
    h.set(this.activate(a.map((value, i) => value + this.products[i])));
  }
}

// A network from what `playground/page.py` writes. Its whole state is one Float32Array, layer after layer.
class Network {
  constructor({ vocabulary, precision, layers }) {
    this.characters = Array.from(vocabulary);
    this.ids = new Map(this.characters.map((character, id) => [character, id]));
    this.stateSize = 0;
    const [first, ...rest] = layers;
    this.layers = (first.kind === "embedding" ? rest : layers).map((described) => {
      const layer = new Layer(described, precision, this.stateSize);
      this.stateSize += layer.size * layer.stateNames.length;
      return layer;
    });
    if (first.kind === "embedding") {
      this.table = first.rows ? new Matrix(first.rows, precision) : this.layers.at(-1).input; // the latter if tied
    }
    this.numSteps = this.layers.findLastIndex((layer) => layer.kind !== "dense") + 1;
  }

  newState() {
    return new Float32Array(this.stateSize);
  }

  // Read a character, given its id: the state becomes the one after it.
  step(id, state) {
    let x = this.table ? this.table.row(id) : id;
    for (const layer of this.layers.slice(0, this.numSteps)) x = layer.read(x, state);
  }

  // The logits (V,) of the next character; the layers after the last state compute them.
  logits(state) {
    const { offset, size } = this.layers[this.numSteps - 1];
    let x = Float64Array.from(state.subarray(offset, offset + size));
    for (const layer of this.layers.slice(this.numSteps)) x = layer.read(x, state);
    return x.slice();
  }
}

// -log2 of the probability of a character, at temperature 1.
function surprise(logits, id) {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const sum = logits.reduce((total, value) => total + exp(value - largest), 0);
  return (Math.log(sum) + largest - logits[id]) / Math.LN2;
}

// The probabilities (V,) to draw from: at a temperature, of the topK most probable characters (0: of all), and of these
// the fewest whose probabilities add up to topP. `charrnn/sampling.py` defines them in the same way.
function probabilities(logits, { temperature, topK, topP }) {
  if (temperature === 0) {
    const best = logits.indexOf(logits.reduce((most, value) => Math.max(most, value), -Infinity));
    return logits.map((_, id) => (id === best ? 1 : 0));
  }
  let kept = logits;
  if (topK > 0 && topK < logits.length) {
    const least = logits.slice().sort()[logits.length - topK];
    kept = logits.map((value) => (value < least ? -Infinity : value));
  }
  if (topP < 1) {
    const p = softmax(kept, temperature);
    const excluded = new Set();
    let before = 0;
    for (const id of mostProbable(kept, p.length)) {
      if (before >= topP) excluded.add(id);
      before += p[id];
    }
    kept = kept.map((value, id) => (excluded.has(id) ? -Infinity : value));
  }
  return softmax(kept, temperature);
}

// The ids of the k largest probabilities or logits, largest first; of equal ones, the smaller id is first.
function mostProbable(p, k) {
  return Array.from(p.keys()).sort((one, other) => p[other] - p[one] || one - other).slice(0, k);
}

// Draw an id, given a random number u in 0 … 1: the one at u on a line where each has a share as long as its probability.
function pick(p, u) {
  let last = 0;
  for (let id = 0; id < p.length; id++) {
    if (p[id] > 0) {
      if (u < p[id]) return id;
      u -= p[id];
      last = id;
    }
  }
  return last; // only if the probabilities add up to a bit less than 1
}

// Random numbers in 0 … 1 from a seed in 0 … 2^53 - 1: the generator sfc32 of Chris Doty-Humphrey (PractRand).
function generator(seed) {
  let a = 0;
  let b = seed >>> 0;
  let c = Math.floor(seed / 2 ** 32);
  let count = 1;
  const next = () => {
    const sum = (a + b + count++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i++) next(); // until the seed has mixed
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

if (typeof module === "object") {
  module.exports = { Network, exp, generator, mostProbable, pick, probabilities, softmax, surprise, tanh };
}
