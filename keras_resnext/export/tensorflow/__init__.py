"""What only TensorFlow can do: the SavedModel is its format, whatever backend trained.

Beside `keras_resnext/native/` the second place that names a backend. Its modules run in processes
of their own, `writer` with Keras on TensorFlow, `reader` without Keras.
"""
