"""What lasts: the tables of the schema `pynomaly`, and the functions of the macros that read and fill them."""
