"""What several kinds of tests need: servers in processes of their own, texts of known lengths."""
