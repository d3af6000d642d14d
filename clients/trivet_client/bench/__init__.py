"""The load tester behind `trivet bench`: schedules, texts, summaries, pictures."""
