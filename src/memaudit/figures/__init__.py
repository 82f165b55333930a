"""Draw the figures of a study."""

from memaudit.errors import require

require("matplotlib", extra="workflow")
