"""The training that classifications of any input share: classes, cleaning, tables, calibration, pictures."""
