"""`keras.Model`s with their own `train_step`, one file per step."""
