"""Language models as judges: rubrics, calls, replies, prices."""
