"""Datatypes of API inputs and outputs. Pure, and without imports: the command line starts fast."""

NUMERIC_DATATYPES = ("FP32", "FP64", "INT32", "INT64")
TENSOR_DATATYPES = (*NUMERIC_DATATYPES, "BOOL")
