"""What `trivet demo` is made of: the texts, the processes, the scenes and how they are shown."""
