"""Small NumPy files for test/data/npy.test.ts, with the values that they hold.

python3 scripts/golden/npy.py > test/golden/npy.json      (made with NumPy 2.4)
"""

import base64
import io
import json

import numpy as np


def text(data):
    return base64.b64encode(data).decode()


def saved(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version, allow_pickle=False)
    return out.getvalue()


cases = []


def case(name, array, version=None):
    cases.append(
        {
            "name": name,
            "file": text(saved(array, version)),
            "shape": list(array.shape),
            "values": [float(v) for v in np.ascontiguousarray(array).ravel()],
        }
    )


numbers = {
    "f": [0.5, -0.25, 3, 1e10, -7, 0],
    "i": [-128, 127, -1, 5, 0, 100],
    "u": [0, 255, 1, 5, 7, 200],
}
for code in ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4"]:
    for order in "<>" if code[1] != "1" else "|":
        case(order + code, np.array(numbers[code[0]], dtype=order + code).reshape(3, 2))
case("bool", np.array([[True, False], [False, True]]))
case("fortran", np.asfortranarray(np.arange(24, dtype="<f4").reshape(2, 3, 4)))
case("fortran, one dimension", np.asfortranarray(np.arange(5, dtype="<f8")))
case("version 2", np.arange(6, dtype="<i8").reshape(2, 3), (2, 0))
case("version 3", np.arange(6, dtype="<u2").reshape(2, 3), (3, 0))
case("scalar rows", np.arange(4, dtype="<i8"))


def archive(save):
    out = io.BytesIO()
    save(out, x=np.arange(12, dtype="<f4").reshape(4, 3), y=np.array([0, 1, 2, 1], dtype="<i8"))
    return text(out.getvalue())


refused = {
    "object": np.array([{"a": 1}], dtype=object),
    "string": np.array(["a", "b"]),
    "structured": np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]),
    "complex": np.zeros(2, dtype="c8"),
    "half": np.zeros(2, dtype="f2"),
}


def any_saved(array):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=True)
    return text(out.getvalue())


print(
    json.dumps(
        {
            "numpy": np.__version__,
            "cases": cases,
            "stored": archive(np.savez),
            "deflated": archive(np.savez_compressed),
            "refused": {name: any_saved(array) for name, array in refused.items()},
        }
    )
)
