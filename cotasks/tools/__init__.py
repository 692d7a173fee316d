"""What every room needs: files, progress, launched processes."""
