"""Export models to the formats of other tools, ONNX, PyTorch and safetensors, and import them.

The packages that read and write these formats are optional, and imported only when they are needed.
"""
