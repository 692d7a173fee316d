"""What judge and server backend share: addresses, calls, retries."""
