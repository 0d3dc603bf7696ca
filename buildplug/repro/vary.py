"""Variations: what changes in a build's environment, under reprotest's names and some of our own. A table: each row has
what is varied, what that needs, and how it is done.

A chosen variation has one value for the control and another for the varied build, whatever the user's value is; one
that is not chosen has the user's value in all builds.
"""

import os
import pwd
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from buildplug.base import input_order
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run, run_isolated
from buildplug.base.records import frozen
from buildplug.base.schema import unknown
from buildplug.repro.settings import AS_NOBODY, Settings, Workspace, cached, distributed

LATER = 373 * 86400 + 7 * 3600 + 13 * 60  # seconds: another year, month, day, hour and minute
HOST = "i-capture-the-hostname"
LOCALE = "et_EE.UTF-8"  # sorts z before t
# Sets the host name in a namespace of its own, then executes the rest of the command.
NAME_HOST = (
    "import ctypes, os, socket, sys; name = sys.argv[1]; socket.sethostname(name); "
    "ctypes.CDLL(None).setdomainname(name.encode(), len(name)); os.execvp(sys.argv[2], sys.argv[2:])"
)


Apply = Callable[[Settings, Workspace, bool], Settings]  # the last: varied, or the control's value
Unavailable = Callable[[Workspace], str]  # why the variation is impossible here; empty if it is not


@frozen
class Variation:
    name: str
    about: str  # what is varied
    cause: str  # class of cause of the differences that it makes
    apply: Apply
    unavailable: Unavailable = lambda workspace: ""


def chosen(specs: Sequence[str], workspace: Workspace) -> tuple[list[Variation], dict[str, str]]:
    """The variations that specs such as `all,-num_cpus` choose, applied in order; and the others, with the reason.
    Raises BuildplugError for an unknown name, and for a named variation that is impossible here."""
    wanted = dict.fromkeys(BY_NAME, False)  # variation -> whether it was named
    for word in (word.strip() for spec in specs for word in spec.split(",") if word.strip()):
        name, off = word.removeprefix(word[0]) if word[0] in "+-@" else word, word.startswith("-")
        if name not in (*BY_NAME, "all"):
            error = unknown("--vary", "variation", name, [*BY_NAME, "all"])
            error.status = 2
            raise error
        for one in BY_NAME if name == "all" else (name,):
            wanted.pop(one, None)
            if not off:
                wanted[one] = name != "all"
    reasons = {name: BY_NAME[name].unavailable(workspace) if name in wanted else "not requested" for name in BY_NAME}
    for name, named in wanted.items():
        if named and reasons[name]:
            raise BuildplugError("--vary", f"{name} cannot be varied: {reasons[name]}", f"leave it out: -{name}")
    return [v for v in VARIATIONS if not reasons[v.name]], {name: why for name, why in reasons.items() if why}


def settings_of(workspace: Workspace, variations: Sequence[Variation], varied: frozenset[str]) -> Settings:
    """The settings of a build where the variations named in `varied` are varied, and the others have the control's
    value."""
    found = Settings(workspace.work / "build", workspace.env)
    for variation in variations:
        found = variation.apply(found, workspace, variation.name in varied)
    return found


def _variables(control: Mapping[str, str], varied: Mapping[str, str]) -> Apply:
    return lambda found, workspace, vary: found.with_env(varied if vary else control)


def _prefix(control: tuple[str, ...], varied: tuple[str, ...]) -> Apply:
    return lambda found, workspace, vary: replace(found, prefix=found.prefix + (varied if vary else control))


def _needs(*tools: str) -> Unavailable:
    def unavailable(workspace: Workspace) -> str:
        missing = [tool for tool in tools if shutil.which(tool) is None]
        return f"{' and '.join(missing)} is not installed" if missing else ""

    return unavailable


def _succeeds(*command: str) -> Unavailable:
    def unavailable(workspace: Workspace) -> str:
        try:
            run(command, workspace.work, "try it")
        except BuildplugError as error:
            return error.output.partition("\n")[0] or str(error)
        return ""

    return unavailable


def _build_path(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    return replace(found, tree=workspace.work / "another" / "build-path") if vary else found


def _user() -> pwd.struct_passwd:
    """Another user than the current one, preferably nobody."""
    others = [user for user in pwd.getpwall() if user.pw_uid != os.getuid()]
    return min(others, key=lambda user: (user.pw_name != "nobody", user.pw_uid))


def _current_name() -> str:
    names = [user.pw_name for user in pwd.getpwall() if user.pw_uid == os.getuid()]
    return names[0] if names else str(os.getuid())


def _user_group(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    if not vary:
        return found.with_env({"USER": _current_name(), "LOGNAME": _current_name()})
    user = _user()
    words = ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}")
    return replace(found, prefix=found.prefix + words).with_env({"USER": user.pw_name, "LOGNAME": user.pw_name})


@cache
def _faketime(work: Path) -> str:
    """The LD_PRELOAD that faketime(1) sets. Not run itself: it would wait for processes that a build leaves running."""
    words = ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"]
    return run_isolated(words, work, "find its library", os.environ).output.strip()


def _time(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    # The clock is stopped, so that all builds have the same second; file times stay real, as make needs them.
    clock = {"FAKETIME": str(workspace.now + LATER * vary), "FAKETIME_FMT": "%s", "NO_FAKE_STAT": "1"}
    return found.with_env({"LD_PRELOAD": _faketime(workspace.work), **clock})


def _num_cpus(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    cpus = sorted(os.sched_getaffinity(0))
    used = cpus if vary else cpus[:1]
    found = replace(found, prefix=(*found.prefix, "taskset", "-c", ",".join(map(str, used))))
    return found.with_env({"MAKEFLAGS": f"-j{len(used)}"})


def _fileordering(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    return replace(found, listing=("--sort-dirents=yes", f"--reverse-dirents={'yes' if vary else 'no'}"))


def _unavailable_fuse(workspace: Workspace) -> str:
    reason = _needs("disorderfs", "fusermount")(workspace)
    return reason or ("" if os.access("/dev/fuse", os.W_OK) else "/dev/fuse cannot be opened")


@cache
def _locale(work: Path) -> tuple[str, str]:
    """A locale that sorts differently from C, and its folder if it had to be generated, else empty. Raises
    BuildplugError."""
    installed = run(["locale", "-a"], work, "list the locales").output.split()
    others = [name for name in installed if not re.match(r"(C|POSIX)(\.|$)", name)]
    if others:
        return min(others, key=lambda name: (not name.startswith("et_EE"), name)), ""
    folder = work / "locales"
    folder.mkdir()
    run(["localedef", "-i", "et_EE", "-f", "UTF-8", folder / LOCALE], work, "make a locale")
    return LOCALE, str(folder)


def _unavailable_locale(workspace: Workspace) -> str:
    try:
        _locale(workspace.work)
    except BuildplugError:
        return "no locale but C is installed, nor the sources of locales"
    return ""


def _locales(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    if not vary:
        return found.with_env({"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LANGUAGE": "en_US:en"})
    name, folder = _locale(workspace.work)
    found = found.with_env({"LANG": name, "LC_ALL": name, "LANGUAGE": f"{name}:fr"})
    return found.with_env({"LOCPATH": folder}) if folder else found


def _exec_path(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    return found.with_env({"PATH": f"{found.env.get('PATH', os.defpath)}:/i_capture_the_path"}) if vary else found


def _unavailable_shuffle(workspace: Workspace) -> str:
    return "" if workspace.is_buildplug else "only builds of a configuration can be shuffled, not a command"


def _unavailable_cpus(workspace: Workspace) -> str:
    return _needs("taskset")(workspace) or ("" if len(os.sched_getaffinity(0)) > 1 else "there is only one CPU")


def _unavailable_user(workspace: Workspace) -> str:
    user = _user()
    return _succeeds("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "true")(workspace)


def _unavailable_server(workspace: Workspace) -> str:
    return _needs("distcc", "distccd")(workspace) or _succeeds(*AS_NOBODY, "true")(workspace)


_HOST = ("unshare", "--user", "--map-current-user", "--keep-caps", "--uts", sys.executable, "-I", "-c", NAME_HOST, HOST)
_CAPTURE = {"BUILDPLUG_CAPTURE_ENVIRONMENT": "i_capture_the_environment"}
_SEEDS = tuple({"PYTHONHASHSEED": seed, "PERL_HASH_SEED": seed} for seed in ("0", "4242"))

# In the order in which they are applied: of those that wrap the command, the outermost first.
VARIATIONS = (
    Variation("environment", "an additional variable", "environment variable", _variables({}, _CAPTURE)),
    Variation("build_path", "the folder of the build", "build path", _build_path),
    Variation(
        "domain_host", "host and domain name", "user or host name",
        _prefix((), _HOST), _succeeds(*_HOST, "true"),
    ),
    Variation("user_group", "user and group, USER, LOGNAME", "user or host name", _user_group, _unavailable_user),
    Variation("num_cpus", "one CPU and make -j1, or all", "parallelism", _num_cpus, _unavailable_cpus),
    Variation(
        "kernel", "the kernel's version that uname says", "kernel version",
        _prefix((), ("setarch", "--uname-2.6")), _succeeds("setarch", "--uname-2.6", "true"),
    ),
    Variation(
        "aslr", "addresses of processes", "memory layout (addresses, or bytes never set)",
        _prefix(("setarch", "-R"), ()), _succeeds("setarch", "-R", "true"),
    ),
    Variation("time", "the clock, by more than a year", "timestamp", _time, _needs("faketime")),
    Variation("fileordering", "the order in which folders list files", "file order", _fileordering, _unavailable_fuse),
    Variation("home", "HOME", "home folder", _variables({}, {"HOME": "/nonexistent/home"})),
    Variation("locales", "LANG, LC_ALL, LANGUAGE", "locale", _locales, _unavailable_locale),
    Variation("exec_path", "PATH, with an additional folder", "PATH", _exec_path),
    Variation("timezone", "TZ, 26 hours apart", "timestamp", _variables({"TZ": "GMT+12"}, {"TZ": "GMT-14"})),
    Variation("umask", "0002 for 0022", "file mode", lambda s, workspace, vary: replace(s, umask=2 if vary else 0o22)),
    Variation("hash_seed", "seeds of Python's and Perl's hashes", "hash order", _variables(*_SEEDS)),
    Variation(
        "input_order", "the order of sources, symbols and relocations", "input order",
        _variables({}, {input_order.VARIABLE: "varied"}), _unavailable_shuffle,
    ),
    Variation(
        "launcher", "compilers run by distcc", "remote compiler", distributed, _unavailable_server
    ),
    Variation("cache", "objects out of ccache", "compiler cache", cached, _needs("ccache")),
)  # fmt: skip
BY_NAME = {variation.name: variation for variation in VARIATIONS}
