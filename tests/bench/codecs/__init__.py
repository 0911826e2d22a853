"""Each contestant's decoding and encoding alone: one module a library, with the same `compress`."""
