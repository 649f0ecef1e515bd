"use strict";
// A text as the network has read it: the state after each character, and how much each surprised it.

const AT_ONCE = 256; // states that are allocated at once

class Reading {
  constructor(network) {
    this.network = network;
    this.ids = [];
    this.bits = []; // of the characters that are read; the first is not predicted
    this.blocks = [];
    this.logits = null; // of the next character
  }

  get length() {
    return this.bits.length;
  }

  // Read other ids from now on; keep what is read of their common beginning, and return its length.
  follow(ids) {
    let same = 0;
    while (same < this.length && this.ids[same] === ids[same]) same++;
    this.ids = ids;
    if (same < this.length) {
      this.bits.length = same;
      this.logits = same ? this.network.logits(this.state(same)) : null;
    }
    return same;
  }

  // Read one more character; false if there is none.
  advance() {
    const n = this.length;
    if (n === this.ids.length) return false;
    const id = this.ids[n];
    if (n % AT_ONCE === 0) this.blocks[n / AT_ONCE] ??= new Float32Array(AT_ONCE * this.network.stateSize);
    const state = this.state(n + 1);
    state.set(n ? this.state(n) : this.network.newState());
    this.network.step(id, state);
    this.bits.push(this.logits ? surprise(this.logits, id) : NaN);
    this.logits = this.network.logits(state);
    return true;
  }

  // The state after n characters, n at least 1.
  state(n) {
    const size = this.network.stateSize;
    const place = (n - 1) % AT_ONCE;
    return this.blocks[Math.floor((n - 1) / AT_ONCE)].subarray(place * size, (place + 1) * size);
  }

  // The bits of the characters that were predicted, all but the first.
  total() {
    return this.bits.slice(1).reduce((sum, bits) => sum + bits, 0);
  }
}
