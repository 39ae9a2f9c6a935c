"""PyTorch's own."""
