"""`make bench`: how close the server comes to its engine, as ratios within one run."""
