"""Formats turn a closed record into bytes; they know no files."""
