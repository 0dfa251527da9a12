"""What every command shares: files and directories, processes, resuming, records."""
