"""Load on servers, and the figures that it gives."""
