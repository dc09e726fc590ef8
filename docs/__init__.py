"""The scripts of the documentation; the pages lie beside them."""
