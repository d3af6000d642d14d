"""`trivet tune`: the settings that suit this machine, found by measuring the real server."""
