"""The values of a rule's rows, for each kind of rows: image -> columns."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import numpy as np

from buildplug.arch.form import KINDS
from buildplug.base.globs import SPECIAL, globs
from buildplug.config.rule import Rule, check_arch
from buildplug.config.select import FUNCTIONS, START
from buildplug.image.elf import Image
from buildplug.image.headers import Array, sorting
from buildplug.image.symbols import letters
from buildplug.select.annotations import records_of
from buildplug.select.functions import containing, held
from buildplug.select.references import REFERENCE, References, extract
from buildplug.select.relocations import fields, places
from buildplug.select.symbols import left_out, selected, targets


def columns_of(image: Image, rule: Rule) -> tuple[dict[str, Array], dict[str, int]]:
    """The rows, sorted as the rule says: value -> column; and the counts of what the rule ignores by kind.

    Raises BuildplugError.
    """
    check_arch(rule, image.arch, image.path)
    if rule.select.rows == "references":
        references = extract(image, rule)
        columns, ignored = _references(image, rule, references), references.ignored
    else:
        kinds = {"symbols": _symbols, "relocations": _relocations, "records": records_of}
        columns = kinds[rule.select.rows](image, rule)
        ignored = left_out(image, rule) if rule.select.rows == "symbols" else {}
    values = [field.value for field in rule.table.fields]
    columns |= _functions(image, rule, columns)
    if rule.table.each:
        columns = _repeated(image, rule, columns)
    keys = rule.table.sort or tuple(value for value in values if rule.holds[value] == "address")[:1] or values[:1]
    # A table that is made as a whole has no fields; its rows stay in the order of the image.
    order = (
        np.lexsort([columns[key] for key in reversed(keys)]) if keys else np.arange(len(next(iter(columns.values()))))
    )
    if rule.table.unique:
        ordered = columns[keys[0]][order]
        repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(repeated):
            raise image.bad(
                f"rule {rule.name}: expected each {keys[0]} once, found {ordered[repeated[0]]} twice", "drop one"
            )
    return {name: column[order] for name, column in columns.items()}, ignored


def same_rows(one: Image, other: Image, rule: Rule, sections: Iterable[str]) -> bool:
    """Whether a rule with rows of relocations selects the same ones in these sections of two images that have the same
    symbols. False if that is not known."""
    select = rule.select
    wanted = one.sections.matching(select.sections, select.skip)
    among = tuple(name for name in sections if name != rule.section and wanted[one.sections.called(name)].any())
    if not among:
        return True
    if select.rows not in ("references", "relocations") or SPECIAL & set("".join(among)):
        return False
    there = replace(rule, select=replace(select, sections=among, skip=()))
    if select.rows == "references":
        chosen, used = targets(one, there), list(REFERENCE.names or ())
        found = [extract(image, there, chosen).rows for image in (one, other)]
    else:
        used = ["section", "offset", "encoding", *({"addend", "type", "symbol"} & rule.asked)]
        found = [fields(image, there) for image in (one, other)]
    return all(np.array_equal(found[0][name], found[1][name]) for name in used)


def _repeated(image: Image, rule: Rule, columns: dict[str, Array]) -> dict[str, Array]:
    """The columns with all the rows of each that is selected, one behind the other, and the values that they say.
    Raises BuildplugError."""
    every = np.arange(len(next(iter(columns.values()))))
    of_row = []
    for row in rule.table.each:
        chosen = np.ones(len(every), bool)
        for name, patterns in row.only.items():
            texts, numbers = np.unique(columns[name], return_inverse=True)
            chosen &= np.fromiter(map(globs(patterns), texts.tolist()), bool, len(texts))[numbers]
        of_row.append(every[chosen])
    selected = np.concatenate(of_row)
    number = np.repeat(np.arange(len(of_row)), [len(chosen) for chosen in of_row])
    order = sorting(number, selected)
    selected, number = selected[order], number[order]
    found = {name: column[selected] for name, column in columns.items()}
    for name in rule.table.each[0].numbers:
        found[name] = np.array([row.numbers[name] for row in rule.table.each], "i8")[number]
    for name in rule.table.each[0].addresses:
        found[name] = np.array([_named(image, rule, row.addresses[name]) for row in rule.table.each], "u8")[number]
    return found


def _named(image: Image, rule: Rule, name: str) -> int:
    """The address of a symbol that a rule names."""
    address = image.address_of(name)
    if address is None:
        raise image.bad(
            f"rule {rule.name}: each: expected the symbol {name}, found none", "define it, or correct the rule"
        )
    return address


def _functions(image: Image, rule: Rule, columns: dict[str, Array]) -> dict[str, Array]:
    """The columns asked for that are functions of the addresses in `columns`."""
    found = {}
    for name, suffix in product(columns, FUNCTIONS):
        if {f"{name}{suffix}", f"{name}{suffix}{START}"} & rule.asked:
            addresses, where = columns[name].astype("u8"), f"rule {rule.name}: {name}"
            symbols = containing(image, addresses, where, entry=suffix == ".entry")
            found[f"{name}{suffix}{START}"] = image.symbols["value"][symbols]
            found[f"{name}{suffix}"] = np.array(image.names_of(symbols), str)
    return found


def _references(image: Image, rule: Rule, found: References) -> dict[str, Array]:
    rows, forms = found.rows, image.arch.forms
    starts = image.headers["address"].astype("u8")
    slots = (rows["value"] - found.targets.addresses[rows["target"]]) // np.uint64(image.arch.word)
    columns = {
        "site": starts[rows["section"]] + rows["offset"],
        "target": rows["value"],
        "symbol": found.targets.names(rows["target"]),
        "length": np.array([form.length for form in forms])[rows["form"]],
        "kind": np.array([KINDS.index(form.kind) for form in forms])[rows["form"]],
        "addend": rows["addend"],
        "slot": slots,
        "zero": np.zeros(len(rows), "u8"),
    }
    if "held" in rule.asked:  # costly: all functions
        places = found.targets.addresses[rows["target"]] + slots * np.uint64(image.arch.word)
        used, inverse = np.unique(np.where(found.targets.slots[rows["target"]], places, 0), return_inverse=True)
        functions = held(image, used)
        names = np.array(image.names_of(np.maximum(functions, 0)), str)
        columns["held"] = np.where(functions >= 0, names, "")[inverse]
    return columns


def _relocations(image: Image, rule: Rule) -> dict[str, Array]:
    found = fields(image, rule)
    columns = {name: found[name] for name in ("encoding", "addend", "type")} | {"place": places(image, rule, found)}
    if "symbol" in rule.asked:  # costly: many rows, long names
        columns["symbol"] = np.array(image.names_of(found["symbol"]), str)
    return columns


def _symbols(image: Image, rule: Rule) -> dict[str, Array]:
    at = selected(image, rule)
    return {
        "address": image.symbols["value"][at],
        "entry": image.symbols["value"][at] + image.symbols["mode"][at],
        "name": np.array(image.names_of(at), str),
        "size": image.symbols["size"][at],
        "letter": letters(image)[at],
        "zero": np.zeros(len(at), "u8"),
    }
