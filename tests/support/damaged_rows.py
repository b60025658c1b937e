"""Parts of rows of any shape, as somebody else could write them."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from pyanamo.model import ItemState
from pyanamo.tables.sqlite import COLUMNS

texts = st.text(max_size=8) | st.sampled_from(
    ["{}", "[]", "null", "{", '{"Task_0": 1}', '"a"', "NaN", "\ud800", "[[[", "1e999", "todo", "\0"]
)
values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=4),
    texts.filter(lambda text: text.isascii() or text.encode(errors="ignore").decode() == text),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda parts: (
            st.lists(parts, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Task_0", "Task_1", "Status", "Run_Seconds", "x"]),
                parts,
                max_size=3,
            )
        ),
        max_leaves=6,
    ).map(json.dumps),
)
states = st.sampled_from([state.value for state in ItemState])
names = st.sampled_from(sorted(set(COLUMNS) - {"itemID", "Slot"}))
REQUIRED = ("ItemState", "Attempts")  # by the schema; to SQLite, NaN is NULL too


def _is_accepted(name: str, value: object) -> bool:
    return name not in REQUIRED or (value is not None and value == value)


damage = st.dictionaries(names, values, min_size=1, max_size=4).map(
    lambda row: {name: value for name, value in row.items() if _is_accepted(name, value)}
)

# The same for DynamoDB, with its types.
typed_values = st.one_of(
    st.just({"NULL": True}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.integers(-(10**30), 10**30).map(lambda value: {"N": str(value)}),
    st.sampled_from(["1E+100", "-0.5", "1e-100"]).map(lambda value: {"N": value}),
    st.text(max_size=8).map(lambda value: {"S": value}),
    st.binary(max_size=4).map(lambda value: {"B": value}),
    st.sampled_from([{"SS": ["a"]}, {"NS": ["1"]}, {"BS": [b"a"]}, {"L": []}, {"M": {}}]),
    st.sampled_from(
        [
            {"L": [{"M": {"Attempt": {"N": "1"}}}]},
            {"M": {"Task_0": {"S": "true"}}},
            {"M": {"Task_0": {"S": "done"}, "Task_1": {"S": "failed"}}},
            {"M": {"Task_0": {"M": {"Status": {"S": "done"}}}}},
            {"M": {"Status": {"S": "done"}, "stdout": {"NULL": True}}},
        ]
    ),
)
in_index = ("ItemState", "Slot")  # DynamoDB refuses other types than text there
typed_damage = st.dictionaries(
    st.sampled_from(sorted(set(COLUMNS) - {"itemID", *in_index})),
    typed_values,
    min_size=1,
    max_size=4,
)
