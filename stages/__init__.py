"""One small program for each stage of the DVC pipeline, run as `python -m stages.NAME`."""

import sys

import stages.common.first_parent  # noqa: F401 (it must be imported early)
from stages.common.interrupts import end_on_ctrl_c

if sys.argv[:1] == ["-m"]:  # Python imports this package before it knows which stage to run
    end_on_ctrl_c()
