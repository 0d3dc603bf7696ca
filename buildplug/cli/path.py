"""buildplug path"""

from argparse import ArgumentParser, Namespace

from buildplug.base.data import build_system

SYSTEMS = {  # build system -> what of rules/build_systems/ it takes
    "cargo": "cargo-config.toml",
    "cmake": "",  # the folder that find_package() looks into
    "doit": "dodo.py",
    "make": "buildplug.mk",
    "meson": "meson.build",
    "ninja": "buildplug.ninja",
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("system", choices=sorted(SYSTEMS))


def run(options: Namespace) -> None:
    print(build_system(SYSTEMS[options.system]))
