"""Fine-tuning: chat examples, the collator, what it reports, exports, and what the example scripts share."""
