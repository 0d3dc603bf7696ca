"""What more than one command takes or prints."""

import json
from argparse import ArgumentParser
from typing import Any


def add_architecture(parser: ArgumentParser) -> None:
    parser.add_argument("--arch", default="", metavar="NAME", help="in place of the configuration's")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))
