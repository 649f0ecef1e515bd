"""The number of the process that started this one, read before the slow imports, in case it ends while they run."""

import os

FIRST_PARENT = os.getppid()
