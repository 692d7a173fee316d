"""What the pages share: plots and Markdown."""
