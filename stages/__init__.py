"""One small program for each stage of the DVC pipeline, run as `python -m stages.NAME`."""

import sys

from stages.common.interrupts import end_on_ctrl_c

if sys.argv[:1] == ["-m"]:  # Python imports this package before it knows which stage to run
    end_on_ctrl_c()
