"""A user's program with tritonclient; its argument is the address of a server that serves the model `mean`."""

import sys

import numpy
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1])
headers = dict(header.split("=", 1) for header in sys.argv[2:])  # copied for each call: the client writes into them
assert client.is_server_live(headers=dict(headers))
assert client.is_server_ready(headers=dict(headers))
assert client.is_model_ready("mean", headers=dict(headers))
assert client.get_server_metadata(headers=dict(headers))["extensions"] == ["binary_tensor_data"]
assert client.get_model_metadata("mean", headers=dict(headers))["inputs"][0]["name"] == "image"

image = numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 4)
for binary in (True, False):
    text = "ü" if binary else "u"  # in JSON this client cuts off what is not ASCII
    label = numpy.array([text], dtype=object)
    tensors = [triton.InferInput("image", image.shape, "FP32"), triton.InferInput("label", [1], "BYTES")]
    tensors[0].set_data_from_numpy(image, binary_data=binary)
    tensors[1].set_data_from_numpy(label, binary_data=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("rows", "label")]
    answer = client.infer("mean", tensors, outputs=outputs, request_id="1", headers=dict(headers))
    assert numpy.allclose(answer.as_numpy("rows"), image.mean(axis=0)), answer.get_response()
    assert answer.as_numpy("rows").shape == (3, 4)
    labels = answer.as_numpy("label").tolist()
    assert labels in ([f"{text}!".encode()], [f"{text}!"]), labels

answer = client.infer("mean", tensors, headers=dict(headers))  # what outputs there are, in binary
assert answer.as_numpy("rows").dtype == numpy.float32

refusal = ""
try:
    client.infer("mean", tensors[:1], headers=dict(headers))
except triton.InferenceServerException as error:
    refusal = str(error)
assert "label: is missing" in refusal, refusal

image[0, 0, 0] = numpy.nan
tensors[0].set_data_from_numpy(image)
answer = client.infer("mean", tensors, headers=dict(headers))
assert numpy.isnan(answer.as_numpy("rows")[0, 0])
