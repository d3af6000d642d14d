"""What a backend is (`contract`), and how a dense engine becomes one (`stacked`)."""
