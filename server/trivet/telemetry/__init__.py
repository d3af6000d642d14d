"""What is counted about requests and batches."""
