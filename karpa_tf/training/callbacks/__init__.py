"""What happens around the steps of `fit`: logs, sheets of samples, warnings, progress."""
