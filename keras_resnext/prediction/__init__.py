"""What a trained network makes of image files."""
