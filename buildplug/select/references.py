"""References to a rule's symbols: image -> rows.

A relocation gives a reference's place and target; the bytes around it give the kind of site. Both must agree, and
the field must hold the address that the relocation claims: linkers rewrite instructions but keep the old relocations.
"""

from collections import Counter

import numpy as np

from buildplug.arch.field import Field
from buildplug.arch.form import ADDRESS, IGNORED_KINDS
from buildplug.base.records import frozen
from buildplug.config import select
from buildplug.config.rule import Rule, check_arch
from buildplug.image.elf import ANYWHERE, Image
from buildplug.image.fields import IGNORED, UNKNOWN, check_linked, check_relocations, numbers_of
from buildplug.image.headers import SHF_ALLOC, SHF_EXECINSTR, Array, among, sorting
from buildplug.image.symbols import is_data
from buildplug.select.instructions import KIND, RIGHT, Instructions
from buildplug.select.symbols import Targets, targets
from buildplug.select.words import settle

# section: index; offset: of the site in its section; form: index in Arch.forms; target: index in References.targets;
# value: the address referred to; addend: the relocation's, relative to the target.
REFERENCE = np.dtype(
    [("section", "u4"), ("offset", "u8"), ("form", "u1"), ("target", "u4"), ("value", "u8"), ("addend", "i8")]
)


@frozen
class References:
    """The references that a rule selects: rows of REFERENCE sorted by section and offset, and the number of ignored
    ones by kind."""

    targets: Targets
    rows: Array
    ignored: dict[str, int]


def extract(image: Image, rule: Rule, chosen: Targets | None = None) -> References:
    """The references of `image` that `rule` selects. `chosen`: its targets, if they are known.

    Raises BuildplugError if the image has no relocations, or for a kind of reference that the rule neither takes nor
    ignores.
    """
    check_arch(rule, image.arch, image.path)
    check_linked(image)
    chosen = targets(image, rule) if chosen is None else chosen
    ignored = Counter[str]()
    check_relocations(image)
    wanted = image.sections.matching(rule.select.sections, rule.select.skip)
    wanted &= image.headers["flags"] & SHF_ALLOC != 0
    wanted[image.sections.called(rule.section)] = False
    near = ANYWHERE if image.arch.global_pointer else chosen.near(max(image.arch.trailing, default=0))
    rows = _Finder(image, rule, chosen).find(image.relocations(chosen.named, wanted, near), ignored)
    rows = rows.take(sorting(rows["offset"], rows["section"]))
    return References(chosen, rows, dict(sorted(ignored.items())))


class _Finder:
    """Finds the references to targets."""

    def __init__(self, image: Image, rule: Rule, chosen: Targets):
        self.image, self.rule, self.targets = image, rule, chosen
        self.arch = image.arch
        self.lookup = chosen.containing
        self.executable = image.headers["flags"] & SHF_EXECINSTR != 0
        self.starting, self.sizes = (each.astype("i8") for each in image.contents)  # in the file
        self.instructions = Instructions(image)

    def find(self, relocations: Array, ignored: Counter[str]) -> Array:
        """Unsorted rows of REFERENCE; adds what the rule ignores to `ignored`."""
        near = self.image.symbols["value"][relocations["symbol"]] + relocations["addend"].astype("u8")  # modulo 2^64
        if self.arch.global_pointer:
            types, name = self.arch.global_pointer
            near += np.uint64(self.image.address_of(name) or 0) * among(relocations["type"], types)
        # Most are far from every target: filter by the whole range, then by the nearest target, allowing for the bytes
        # between a field and the end of its instruction.
        starts, ends, _ = self.targets.pieces
        reach = np.uint64(max(self.arch.trailing, default=0))
        end = near + reach
        at = np.flatnonzero(end - starts[0] < ends[-1] - starts[0] + reach)
        index = np.maximum(np.searchsorted(starts, end[at], "right") - 1, 0)
        at = at[end[at] - starts[index] < (ends - starts)[index] + reach]
        relocations, near = relocations.take(at), near[at]
        number = numbers_of(self.arch, relocations["type"])
        # Data, even among code, refers to `near` itself; an unknown type may mean any of these.
        code = self.executable[relocations["section"]]
        guesses = [near + np.uint64(rest) * code for rest in (0, *self.arch.trailing, 1, 2)]
        wanted = (number != IGNORED) & np.any([self.lookup(guess) >= 0 for guess in guesses], axis=0)
        at = np.flatnonzero(wanted)
        return self.classify(relocations.take(at), number[at], near[at], ignored) if len(at) else np.zeros(0, REFERENCE)

    def classify(self, relocations: Array, numbers: Array, near: Array, ignored: Counter[str]) -> Array:
        """find() for relocations that probably refer to a target; `near`: symbol plus addend."""
        unknown = np.flatnonzero(numbers == UNKNOWN)
        if len(unknown):
            row = relocations[unknown[0]]
            home = self.image.sections.names[int(row["section"])]
            raise self.image.bad(
                f"{home}+{int(row['offset']):#x}: expected a relocation of a known type, found "
                f"type {int(row['type'])} against {self.image.name_of(int(row['symbol']))}",
                "compile so that it refers to the op by a wider field",
            )
        place = relocations["offset"].astype("i8")
        relaxed = among(relocations["type"], list(self.arch.relaxed))
        data = is_data(self.image, relocations["section"], place)
        if self.arch.instruction:  # also the literals among code
            data |= np.array([field.whole for field in self.arch.fields])[numbers]
        rows = np.zeros(len(place), REFERENCE)
        rows["section"], rows["form"] = relocations["section"], UNKNOWN
        for number, form in enumerate(self.arch.forms):
            made = [t for t, f in self.arch.made.items() if form in f and self.arch.relocations[t].step == 1]
            of_form = among(numbers, map(self.arch.fields.index, form.relocated)) | among(relocations["type"], made)
            for shift in (0, 1):  # lld leaves a relaxed `jmp *`'s relocation one byte after the field
                open_ = (rows["form"] == UNKNOWN) & (data == form.kind.data)
                open_ &= relaxed & (not form.field.partial) if shift else relaxed & (not form.field.partial) | of_form
                self._match(rows, open_, number, place - shift, near)
        self._without_prefix(rows, ~data, relaxed, numbers, place, near)
        kinds = np.array([_of_data(field) for field in self.arch.fields], KIND)[numbers]
        if self.arch.instruction:
            settled = settle(self.image, rows, relocations, numbers, near, self.targets.addresses)
            kinds = np.where(data, kinds, settled)
        known = rows["form"] != UNKNOWN
        values, undecided = near.copy(), data & ~known
        at = np.flatnonzero(~data & (~known | self._unsure(rows)))
        if not self.arch.instruction:
            values[at], kinds[at] = self.instructions.uses(rows[at], place[at], numbers[at], near[at])
        undecided[at] = kinds[at] != RIGHT
        rows["form"][undecided] = UNKNOWN
        targets = self.lookup(values)
        at = np.flatnonzero(undecided & (targets >= 0))  # the others refer to neighbouring symbols
        values, kinds, targets = values[at], kinds[at], targets[at]
        function = ~self.targets.slots[targets]
        vague = np.flatnonzero(function & (kinds != "relative-pointer"))
        kinds[vague] = np.where(relaxed[at[vague]], "got", "other")
        kinds[function & (values != self.targets.addresses[targets])] = "interior"
        self._ignore(kinds, rows["section"][at], place[at], targets, ignored)
        return self._taken(rows.compress(rows["form"] != UNKNOWN), ignored)

    def _match(self, rows: Array, open_: Array, number: int, place: Array, near: Array) -> None:
        """Sets form `number` on `open_` rows whose bytes match it and whose field holds a target's address, or a part
        of the one that the relocation says, `near`."""
        form = self.arch.forms[number]
        start = place - form.at
        section = rows["section"]
        at = np.flatnonzero(open_ & (start >= 0) & (start + form.length <= self.sizes[section]))
        for k, code, mask in form.fixed:
            at = at[(self.image.data[self.starting[section[at]] + start[at] + k] & mask) == code]
        if form.equal:
            low, high, width = form.equal
            whole = self.image.words(section[at], start[at], form.length)
            at = at[((whole >> np.uint64(low)) ^ (whole >> np.uint64(high))) & np.uint64((1 << width) - 1) == 0]
        words = self.image.words(section[at], place[at], form.field.size)
        pc = start[at].astype("u8") + self.image.addresses[section[at]] + np.uint64(form.pc % 2**64)
        value = near[at] if form.field.partial else form.field.get(words, pc) & np.uint64(self.arch.modulus - 1)
        target, slot = self.lookup(value), form.kind.slot
        good = (target >= 0) & (self.targets.slots[target] == slot)
        good &= slot | (value == self.targets.addresses[target])
        if form.field.partial:
            good &= form.field.holds(words, pc, value)
        at, value, target = at[good], value[good], target[good]
        rows["form"][at], rows["value"][at], rows["target"][at], rows["offset"][at] = number, value, target, start[at]

    def _without_prefix(
        self, rows: Array, code: Array, relaxed: Array, numbers: Array, place: Array, near: Array
    ) -> None:
        """Rematches rows whose form starts with a prefix that really belongs to the previous instruction."""
        forms = self.arch.forms
        prefixed = [f.kind is not ADDRESS and f.at > 0 and f.code[0] in self.arch.prefixes for f in forms]
        again = code & np.array(prefixed + [False] * 256)[rows["form"]]
        at = np.flatnonzero(again)
        starts = self.instructions.extents(rows["section"][at], place[at])[:, 0]
        again[at] = (starts >= 0) & (starts != rows["offset"][at].astype("i8"))
        rows["form"][again] = UNKNOWN
        for number, form in enumerate(forms):
            if not prefixed[number] and not form.kind.data:
                open_ = again & (rows["form"] == UNKNOWN) & (relaxed | (numbers == self.arch.fields.index(form.field)))
                self._match(rows, open_, number, place, near)

    def _unsure(self, rows: Array) -> Array:
        """Whether the bytes alone are ambiguous: a one-byte opcode before an immediate, or a possible prefix."""
        if self.arch.instruction:
            return np.zeros(len(rows), bool)
        is_address = np.array([form.kind is ADDRESS for form in self.arch.forms] + [False] * 256)[rows["form"]]
        before = self.image.data[self.starting[rows["section"]] + np.maximum(rows["offset"].astype("i8") - 1, 0)]
        unsure: Array = is_address | among(before, list(self.arch.prefixes))
        return unsure

    def _taken(self, rows: Array, ignored: Counter[str]) -> Array:
        """The rows whose kinds the rule takes, with their addends."""
        forms = self.arch.forms
        rest = np.array([(f.pc - f.at) * f.field.relative for f in forms])[rows["form"]]
        rows["addend"] = (rows["value"] - self.targets.addresses[rows["target"]]).astype("i8") - rest
        kinds = np.array([f.kind.name for f in forms])[rows["form"]]
        taken = among(kinds, self.rule.select_as(select.References).kinds)
        rest = rows.compress(~taken)
        self._ignore(kinds[~taken], rest["section"], rest["offset"], rest["target"], ignored)
        return rows.compress(taken)

    def _ignore(self, kinds: Array, sections: Array, offsets: Array, targets: Array, ignored: Counter[str]) -> None:
        """Counts references that are no rows. Raises BuildplugError for the first that the rule does not ignore."""
        wrong = np.flatnonzero(~among(kinds, self.rule.select_as(select.References).leave))
        if len(wrong):
            kind, offset, target = str(kinds[wrong[0]]), int(offsets[wrong[0]]), self.targets[int(targets[wrong[0]])]
            home = self.image.sections[int(sections[wrong[0]])]
            found = self.image.bytes_of(home)[max(0, offset - 4) : offset + 8].tobytes().hex(" ")
            raise self.image.bad(
                f"{home.name}+{offset:#x}: expected a site of rule {self.rule.name}, "
                f"found {kind} of {target.name} ({IGNORED_KINDS.get(kind, 'a site')}), bytes {found}",
                f"change the code, or add '{kind}' to the rule's leave",
            )
        names, counts = np.unique(kinds, return_counts=True)
        ignored.update(dict(zip(names.tolist(), counts.tolist(), strict=True)))


def _of_data(field: Field) -> str:
    """The kind of a reference in data that has no form, by its field."""
    if field.relative:
        return "relative-pointer"
    return "other" if field.signed else "slot-address"
