"""Foundations that every other part may import and that import nothing of ours but `errors`."""
