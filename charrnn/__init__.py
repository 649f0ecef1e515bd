"""A character-level recurrent network in NumPy: the network, its training and its sampling, and nothing else.

Each module is one idea and is imported by its own name; `charrnn.models` is the place to start.
"""
