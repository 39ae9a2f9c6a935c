"""TensorFlow's own."""
