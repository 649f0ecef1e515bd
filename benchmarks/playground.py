"""How many characters a second of processor time the playground writes, in Node.js, whose engine is that of Chromium.

Run it as `python -m benchmarks.playground models/playground.html`.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

NETWORK = Path(__file__).parents[1] / "playground" / "network.js"
PROGRAM = """
const { readFileSync } = require("node:fs");
const { Network, generator, pick, probabilities } = require(process.argv[1]);
const network = new Network(JSON.parse(readFileSync(0, "utf8")).network);
const state = network.newState();
const random = generator(0);
const settings = { temperature: 1, topK: 0, topP: 1 };
let id = 0;
let best = 0;
const seconds = () => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;
for (let round = 0; round < 10; round++) {
  const start = seconds();
  let n = 0;
  for (; seconds() - start < 0.3; n++) {
    network.step(id, state);
    id = pick(probabilities(network.logits(state), settings), random());
  }
  best = Math.max(best, n / (seconds() - start));
}
console.log(Math.round(best));
"""


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.playground", description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="page that `stages.playground` has written")
    node = shutil.which("node") or sys.exit("error: there is no node on the PATH; Debian's package is nodejs")
    for path in parser.parse_args().pages:
        contents = re.search(
            r"<script type=application/json id=contents>(.*)</script>", path.read_text(encoding="utf-8")
        )
        if not contents:
            sys.exit(f"error: {path} is not a playground")
        command = [node, "-e", PROGRAM, str(NETWORK)]
        ended = subprocess.run(
            command, input=json.dumps(json.loads(contents[1])), capture_output=True, text=True, check=True
        )
        print(f"{path}: {int(ended.stdout):,} characters a second")


if __name__ == "__main__":
    main()
