"""What a benchmark file may say, read and checked."""
