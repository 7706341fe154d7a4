"""Output items of pandas' columns, tables and gaps, with orjson and without; runs in an environment with pandas."""

import sys
import warnings

import numpy
import pandas
from mlmesh_component import json_codec
from mlmesh_component.function.item_builder import MissingValue, build_item
from mlmesh_component.function.items import ItemError

warnings.simplefilter("error")
TIMES = pandas.to_datetime(pandas.Series(["2026-01-02T03:04:05", None]))
TABLE = pandas.DataFrame(
    {
        "x": [1.5, None],
        "t": TIMES,
        "c": pandas.Categorical(["a", None]),
        "i": pandas.array([1, None], dtype="Int64"),
        "b": [True, False],
        3: ["a", None],
    }
)
ROWS = (
    '{"x":1.5,"t":"2026-01-02T03:04:05","c":"a","i":1,"b":true,"3":"a"},'
    '{"x":null,"t":null,"c":null,"i":null,"b":false,"3":null}'
)
SPANS = pandas.Series([pandas.Timedelta("1s")])
CASES = [
    (pandas.Series([1.5, None]), (), "FP64", "[1.5,null]", [2]),
    (pandas.Series([1, 2]), (), "INT64", "[1,2]", [2]),
    (pandas.Series([1.0, 2.0]), ("INT32",), "INT32", "[1,2]", [2]),
    (pandas.Series([1, 2], dtype="int8"), (), "INT32", "[1,2]", [2]),
    (pandas.Series([1, None], dtype="Int64"), (), "FP64", "[1.0,null]", [2]),
    (pandas.Series([1, 2], dtype="Int32"), (), "INT32", "[1,2]", [2]),
    (pandas.Series([0.5, None], dtype="Float32"), (), "FP32", "[0.5,null]", [2]),
    (pandas.Series([True, False]), (), "BOOL", "[true,false]", [2]),
    (pandas.Series([True, False], dtype="boolean"), (), "BOOL", "[true,false]", [2]),
    (pandas.Series(["a", None]), (), "str", '["a",null]', [2]),
    (pandas.Series(["a", numpy.nan], dtype=object), (), "str", '["a",null]', [2]),
    (pandas.Series(["a", pandas.NA], dtype="string"), (), "str", '["a",null]', [2]),
    (pandas.Series(["a", "b"], dtype="category"), (), "str", '["a","b"]', [2]),
    (pandas.Series([2, 1], dtype="category"), (), "INT64", "[2,1]", [2]),
    (pandas.Categorical(["a", "b"]), (), "str", '["a","b"]', [2]),
    (TIMES, (), "str", '["2026-01-02T03:04:05",null]', [2]),
    (TIMES.dt.tz_localize("UTC"), (), "str", '["2026-01-02T03:04:05+00:00",null]', [2]),
    (pandas.date_range("2026-01-01", periods=2), (), "str", '["2026-01-01T00:00:00","2026-01-02T00:00:00"]', [2]),
    (pandas.Index(["a"]), (), "str", '["a"]', [1]),
    (pandas.RangeIndex(3), (), "INT64", "[0,1,2]", [3]),
    (pandas.Series([{"a": 1}]), (), "dict", '[{"a":1}]', [1]),
    (pandas.Series([[1, 2], [3, 4]]), (), "INT64", "[1,2,3,4]", [2, 2]),
    (pandas.arrays.SparseArray([1.0, 0.0]), (), "FP64", "[1.0,0.0]", [2]),
    (pandas.Series([], dtype=object), ("str",), "str", "[]", [0]),
    (pandas.Series([], dtype="str"), (), "str", "[]", [0]),
    (pandas.Timestamp("2026-01-02"), (), "str", '"2026-01-02T00:00:00"', None),
    (TABLE, (), "dict", f"[{ROWS}]", [2]),
    (TABLE["x"], (), "FP64", "[1.5,null]", [2]),
    (pandas.DataFrame(), (), "dict", "[]", [0]),
    ({"table": TABLE, "na": pandas.NA}, (), "dict", f'{{"table":[{ROWS}],"na":null}}', None),
    ({"column": TABLE["x"], pandas.Timestamp("2026-01-02"): TIMES[1]}, (), "dict",
     '{"column":[1.5,null],"2026-01-02T00:00:00":null}', None),
]  # fmt: skip
REFUSED = [
    (pandas.NA, MissingValue, "it is None"),
    (pandas.NaT, MissingValue, "it is None"),
    (pandas.Series([True, None], dtype="boolean"), ItemError, "an element has no value, which BOOL cannot represent"),
    (
        pandas.Series([pandas.Timedelta("1s")]),
        ItemError,
        "an array of timedelta64[us] has no datatype; return its seconds",
    ),
    (pandas.Timedelta("1s"), ItemError, "Timedelta has no datatype; return its seconds"),
    (pandas.Period("2026-01"), ItemError, "Period has no datatype"),
]


def check() -> None:
    for value, declared, datatype, text, shape in CASES:
        item = build_item("y", value, declared)
        result = (item["datatype"], json_codec.encode(item["data"]).decode(), item.get("shape"))
        assert result == (datatype, text, shape), (value, result)
    for value, kind, message in REFUSED:
        assert refusal(value) == (kind, message), value


def refusal(value: object) -> tuple[type, str]:
    try:
        return object, str(build_item("y", value))
    except ItemError as error:
        return type(error), str(error)


check()
assert json_codec.orjson is not None
json_codec.orjson = None
check()
sys.stdout.write("answered")
