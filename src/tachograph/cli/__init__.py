"""The command line: `tachograph`, short `tacho`. One file per command."""
