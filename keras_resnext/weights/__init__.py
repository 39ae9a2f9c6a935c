"""Weights in files: those of Keras, PyTorch and safetensors, downloaded or by hand."""
