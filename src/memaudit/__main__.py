"""`python -m memaudit` is the command `memaudit`."""

import sys

from memaudit.cli import main

sys.exit(main())
