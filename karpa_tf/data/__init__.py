"""Loading data sets and making batches of them."""
