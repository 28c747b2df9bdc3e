"""Small programs that the tests of servicekit start as real processes."""
