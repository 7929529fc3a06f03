#!/usr/bin/env python3
"""Writes a file with every dtype with the safetensors package, and archives of the same tensors with numpy.

usage: files.py [OUT]        writes tests/data/files/*; needs safetensors, torch and numpy
"""
import os, sys
import numpy, safetensors, torch
from safetensors.torch import save_file

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "data", "files")
os.makedirs(OUT, exist_ok=True)

values = torch.tensor([0., 1., 2., 3., 4., 6.]).reshape(2, 3)
types = "float8_e5m2 float8_e4m3fn float8_e8m0fnu float8_e4m3fnuz float8_e5m2fnuz uint8 int8 int16 uint16 float16 bfloat16 int32 uint32 float32 complex64 float64 int64 uint64"
tensors = {f"of.{t}": values.to(getattr(torch, t)).contiguous() for t in types.split()}
tensors["of.bool"] = values > 1
tensors["a scalar"] = torch.tensor(-2.5, dtype=torch.bfloat16)
tensors["empty"] = torch.zeros((3, 0, 2), dtype=torch.float32)
tensors['quotes " and \\ and \u00fc'] = torch.tensor([7], dtype=torch.int32)
path = os.path.join(OUT, "every_dtype.safetensors")
save_file(tensors, path, metadata={"format": "pt"})
os.chmod(path, 0o644)  # the package creates it with mode 0600
print(len(tensors), "tensors, safetensors", safetensors.__version__, "torch", torch.__version__)

# The dtypes that numpy has, too. Also a long array, so that deflate compresses, and a Fortran-order array that is C-order as well.
arrays = {k: v.numpy() for k, v in tensors.items() if v.dtype != torch.bfloat16 and not str(v.dtype).startswith("torch.float8")}
arrays["long"] = (numpy.arange(3000, dtype=numpy.float32) % 17).reshape(10, 1, 300)
arrays["column"] = numpy.asfortranarray(numpy.arange(5, dtype=numpy.float64)[:, None])
arrays["a number"] = numpy.float32(-2.5)
for name, save in (("stored", numpy.savez), ("deflated", numpy.savez_compressed)): save(os.path.join(OUT, f"{name}.npz"), **arrays)
print(len(arrays), "arrays, numpy", numpy.__version__)
