"""JAX's own."""
