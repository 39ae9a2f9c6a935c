"""What in an image speaks for a class, in the eyes of a trained network."""
