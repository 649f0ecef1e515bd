"""What README.md tells: its table of hyperparameters and its example are those of the code."""

import re
import subprocess
import sys
from pathlib import Path

from stages.params import PARAMS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_of_hyperparameters_has_each_with_its_default_and_meaning():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", README, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == list(PARAMS)
    for name, default, meaning in rows:
        param = PARAMS[name]
        shown = str(param.default).lower() if isinstance(param.default, bool) else param.default
        assert isinstance(param.default, list) or default == f"`{shown}`"
        assert meaning == ": ".join(filter(None, [param.help, ", ".join(param.choices)]))


def test_the_example_runs():
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    ended = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "'epoch': 2" in ended.stdout and "TOBIAS:" in ended.stdout
