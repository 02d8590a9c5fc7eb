"""softmax and log_softmax along any axes."""
