"use strict";
// Runs the arithmetic of the playground: reads jobs from standard input as JSON, and prints the results.
const { readFileSync } = require("node:fs");
const { Network, exp, generator, mostProbable, pick, probabilities, surprise, tanh } = require("../playground/network.js");

const jobs = {
  loss({ network: packed, ids }) {
    const network = new Network(packed);
    const state = network.newState();
    let bits = 0;
    let logits = null;
    for (const id of ids) {
      if (logits) bits += surprise(logits, id);
      network.step(id, state);
      logits = network.logits(state);
    }
    return (bits * Math.LN2) / (ids.length - 1);
  },
  sample({ network: packed, start, length, settings, seed }) {
    const network = new Network(packed);
    const state = network.newState();
    const random = generator(seed);
    for (const character of start) network.step(network.ids.get(character), state);
    let text = "";
    while (text.length < length) {
      const id = pick(probabilities(network.logits(state), settings), random());
      network.step(id, state);
      text += network.characters[id];
    }
    return text;
  },
  probabilities: ({ logits, settings }) => Array.from(probabilities(Float64Array.from(logits), settings)),
  mostProbable: ({ p, k }) => mostProbable(Float64Array.from(p), k),
  pick: ({ p, numbers }) => numbers.map((u) => pick(Float64Array.from(p), u)),
  random({ seed, length }) {
    const random = generator(seed);
    return Array.from({ length }, random);
  },
  functions: ({ x }) => [x.map(exp), x.map(tanh)],
};
const results = JSON.parse(readFileSync(0, "utf8")).map(({ job, ...values }) => jobs[job](values));
process.stdout.write(JSON.stringify(results));
