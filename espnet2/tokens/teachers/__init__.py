"""Teachers: audio in, one vector each 20 ms out."""
