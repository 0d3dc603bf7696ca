"""What more than one command takes or prints."""

from argparse import ArgumentParser


def add_architecture(parser: ArgumentParser) -> None:
    parser.add_argument("--arch", default="", metavar="NAME", help="in place of the configuration's")


def print_json(value: object) -> None:
    import json  # lazy: not for a build with nothing to do

    print(json.dumps(value, indent=1))
