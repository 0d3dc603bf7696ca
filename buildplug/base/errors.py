"""The one error of buildplug and the one form of its messages."""


def printable(text: str) -> str:
    """`text` on one line: whatever a terminal or an assembler could take for more than a letter is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class BuildplugError(Exception):
    """Something that the user can mend.

    The message is one line, `where: problem; remedy`: where it is, what was expected and what was found,
    and what to do about it. `output` is what a tool that failed had printed, to be shown as it is;
    `status` is the exit status of the command.
    """

    def __init__(self, where: object, problem: str, remedy: str = "", *, output: str = "", status: int = 1):
        super().__init__(printable(f"{where}: {problem}" + (f"; {remedy}" if remedy else "")))
        self.output = output
        self.status = status
