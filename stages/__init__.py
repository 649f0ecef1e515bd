"""One small program for each stage of the DVC pipeline, run as `python -m stages.NAME`."""

import os
import sys

from stages.common.interrupts import end_on_ctrl_c

PARENT = os.getppid()  # at the start, before anything can have happened to it

if sys.argv[:1] == ["-m"]:  # Python imports this package before it knows which stage to run
    end_on_ctrl_c()
