"""The algorithms, training loops and widgets of the meta-learning course, small enough to read."""

__version__ = "0.1.0"
