"""python -m buildplug"""

import sys

from buildplug.cli import main

sys.exit(main())
