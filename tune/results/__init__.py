"""The results of a study: tables, pictures, the best trial, its final training."""
