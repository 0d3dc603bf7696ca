"""The link of a kernel by the command of any build: draft, tables, relink, proof, in a folder of their own beside the
output, which takes its place in one step."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from buildplug import __version__
from buildplug.base import files, scratch
from buildplug.base.errors import BuildplugError
from buildplug.base.interruption import interruptible
from buildplug.base.records import frozen
from buildplug.config.project import read
from buildplug.config.select import Symbols
from buildplug.image.elf import Image
from buildplug.ld.command_linker import CommandLinker
from buildplug.linker.command_line import LinkLine
from buildplug.linker.family import Family
from buildplug.stage import images
from buildplug.stage.linker import LinkFailed
from buildplug.stage.passes import Stage

# In the environment: an object that is linked (-r) of all archives of the link, as Linux's vmlinux.o. To read it is
# faster than to read those.
MERGED = "BUILDPLUG_MERGED"


@frozen
class FinalLink:
    """A final link, and what is wanted of it."""

    linker: CommandLinker
    keep: bool  # whether the folder is wanted, with texts for people
    relink: bool  # whether to link twice in any case
    sysmap: str  # the file for a list of the symbols; empty if none is wanted
    unlisted: Sequence[str]  # globs of names that are not in it; empty for those that the rule of kallsyms excludes
    unfilled: str  # the name of an output that has empty tables, and is linked before; empty if there is none

    @cached_property
    def stage(self) -> Stage:
        c = self.linker.config
        return Stage(
            c.tables, c.arch, c.root, lambda: self.linker.places, c.generated,
            lambda text: text.with_name(f"{text.name}.o"), self.linker, "script" in self.linker.line,
            direct=not self.keep and not self.linker.preprocessed,
        )  # fmt: skip

    @property
    def _before(self) -> Path | None:
        """The image of the link with empty tables before this one, if there was one."""
        path = self.linker.output.with_name(self.unfilled) if self.unfilled else None
        return path if path and path.is_file() and not self.relink else None

    def _expected(self) -> Image | str | None:
        """What the first link will make, or an option by which that is the linker's to know; None if two are wanted, or
        an input is a pipe."""
        tables, line = self.linker.config.tables, self.linker.line
        referring = any(table.rule.select.rows == "references" for table in tables)
        if self._before and (not referring or Image(self._before).has_relocations):
            return Image(self._before)
        names = [name for name in line.inputs if not name.endswith(".a") or name in line.whole]
        merged = self.linker.env.get(MERGED, "")
        if any(name.endswith(".a") for name in names) and Path(merged).is_file():
            names = [merged, *(name for name in names if not name.endswith(".a"))]
        paths = [Path(name) for name in names if not name.startswith("-")]
        if self.relink or any(map(files.is_special, paths)):  # a pipe is read but once
            return None
        from buildplug.stage.expected import expected  # lazy, as only a first link needs it

        pairs = zip(tables, self.stage.stubs, strict=True)
        stubs = [stub for table, stub in pairs if table.rule.table.each]  # with what their rows refer to
        self.stage.assemble_all(stubs)
        paths += map(self.stage.object_of, stubs)
        return expected(line, paths, self.linker.places, tables, self.linker.family)

    def run(self) -> None:
        """Links, and puts what the command asked for in its place. Raises BuildplugError."""
        linker, output = self.linker, self.linker.output
        image = linker.folder / output.name
        if output.name == self.unfilled:
            self.stage.prepare()
            self.stage.link_draft(linker.draft, "empty tables are asked for")
            linker.put(linker.draft, linker.draft)
            return
        last = output if output.is_file() and not (self.relink or self._before) else None
        done = self.stage.run(linker.draft, linker.relinked, image, last, self._expected, spare=not self.keep)
        if self.keep:
            import json  # lazy, as the rest is seldom wanted

            about = {"buildplug": __version__, "links": done.links, "why": done.why} | asdict(done.verified)
            files.write(linker.folder / "record.json", json.dumps(about, indent=1) + "\n")
            linker.relinked.unlink()  # it may be the image, which is the user's to change
            shutil.copy(image, linker.relinked)  # with the tables that are proved, and its relocations
        if self.sysmap:
            files.write(Path(self.sysmap), self._symbol_list())
        linker.put(linker.draft if done.links == 1 else linker.relinked, image)

    def _symbol_list(self) -> bytes:
        """What Linux's System.map is of the linked image, whose symbols the stage has read."""
        from buildplug.image import listing  # lazy, as few links want it

        patterns = self.unlisted or [
            glob for table in self.linker.config.tables if table.rule.format.startswith("kallsyms")
            for glob in table.rule.select_as(Symbols).exclude if not glob.lstrip("_").startswith("bp_")
        ]  # fmt: skip
        return listing.system_map(images.read(self.linker.relinked), patterns)


def link(
    ld: str, flavor: list[str], config: Path, arch: str, words: list[str], line: LinkLine, env: Mapping[str, str],
    family: Family, *, keep: bool, relink: bool, sysmap: str, unlisted: Sequence[str], unfilled: str,
) -> int:  # fmt: skip
    """Makes the output of a link with tables; returns the exit status. Raises BuildplugError."""
    with interruptible(), scratch.folder(Path(line.output)) as folder:
        kernel = read(config, folder, arch)
        linker = CommandLinker(ld, flavor, family, words, line, env, kernel, folder)
        try:
            FinalLink(linker, keep, relink, sysmap, unlisted, unfilled).run()
        except LinkFailed as failed:
            if failed.ended:
                linker.say(failed.ended)
                if failed.ended.signal:
                    raise BuildplugError(
                        ld, f"the link failed with {failed.ended.signal}", status=failed.status
                    ) from None
            return failed.status
        except BuildplugError as error:
            error.args, error.output = (linker.public(str(error)),), linker.public(error.output)
            raise
        finally:
            if keep:
                shutil.rmtree(linker.kept, ignore_errors=True)
                folder.rename(linker.kept)
                linker.kept.chmod(linker.kept.absolute().parent.stat().st_mode & 0o777)  # no longer ours alone
    return 0


def remove_outputs(line: LinkLine) -> None:
    """Removes what a link that failed would have made, as GNU ld does: else the kernel of an earlier link is booted.
    A link that is killed leaves it. Raises BuildplugError."""
    side_files = (line.map(percent_is_output=False), line.depfile)
    files.remove(Path(line.output), *(Path(name) for name in side_files if name))
