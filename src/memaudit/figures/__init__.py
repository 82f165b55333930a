"""Draw the figures of a study."""

import os

from memaudit.errors import require

# A notebook sets it, also for commands that it runs, to a backend that may not be installed here.
os.environ["MPLBACKEND"] = "Agg"
require("matplotlib", extra="workflow")
