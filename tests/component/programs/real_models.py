"""Loads models of real libraries by file extension; run by the interpreter that has these libraries."""

import os
import sys
import tempfile

import joblib
import numpy
import onnx
from mlmesh_component.function.model import load_model
from onnx import TensorProto, helper
from safetensors.numpy import save_file

os.chdir(tempfile.mkdtemp())
joblib.dump({"w": [1.5]}, "m.joblib")
assert load_model("m.joblib", None) == {"w": [1.5]}
os.rename("m.joblib", "m.pkl")
assert load_model("m.pkl", None) == {"w": [1.5]}

ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", ends[:1], ends[1:])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "m.onnx")
(doubled,) = load_model("m.onnx", None).run(None, {"x": numpy.array([1.5], dtype=numpy.float32)})
assert doubled.tolist() == [3.0]

save_file({"w": numpy.array([2.5], dtype=numpy.float32)}, "m.safetensors")
assert load_model("m.safetensors", None)["w"].tolist() == [2.5]
sys.stdout.write("loaded")
