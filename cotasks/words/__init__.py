"""Words: of questions, categories and predicates; of answers."""
