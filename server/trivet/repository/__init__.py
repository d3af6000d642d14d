"""Models on disk (`layout`, `versions`), and those that are served (`registry`, `manager`)."""
