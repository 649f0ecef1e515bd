"""Models in the formats of other tools: ONNX, PyTorch and safetensors, out and in.

The packages that read and write these formats are optional, and imported only when they are needed.
"""
