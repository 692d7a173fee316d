"""What the pages share: their look, plots and Markdown."""
