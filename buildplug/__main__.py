"""python -m buildplug"""

import sys

from buildplug.cli.main import main

sys.exit(main())
