"""`cotasks view`: a page of records, predictions and answers, served on this machine or written to a folder."""
