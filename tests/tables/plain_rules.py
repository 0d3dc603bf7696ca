"""Rules of plain tables."""

OBJECTS = """
name = "objects"
about = "objects in .data, by name"
[select]
rows = "symbols"
objects = ["*"]
sections = [".data"]
[table]
sort = ["name"]
fields = [
    { name = "size", type = "u2", value = "size" },
    { name = "object", type = "i4", value = "address", base = "table" },
]
"""

OFFERED = """
name = "offered"
about = "what the kernel offers by name, from a list"
[select]
rows = "symbols"
functions = ["print", "strcmp"]
objects = ["ticks"]
[table]
sort = ["name"]
fields = [
    { name = "name", type = "string", value = "name" },
    { name = "address", type = "i4", value = "address" },
]
"""

PLAIN_C = """
name = "plain-c"
about = "the ops' functions with their sizes, as a C array"
[select]
rows = "symbols"
functions = ["pv_*"]
[table]
head = false
template = "plain.c.j2"
fields = [
    { name = "function", type = "u8", value = "address", base = "zero" },
    { name = "size", type = "u8", value = "size" },
]
"""

PLAIN_C_TEMPLATE = """
{% for anchor in anchors %}
extern const char {{ anchor }}[];
{% endfor %}
const struct { const char *function; unsigned long size; } {{ rule.symbol }}[]
        __attribute__((section("{{ rule.section }}"))) = {
{% for row in rows %}
        { {{ row.address.anchor }} + {{ row.address.offset }}, {{ row.size }} }, /* {{ row.name | comment }} */
{% endfor %}
};
"""
