"""How `cotasks.judge` works: deterministic rules, language-model judges, rubrics, prices, agreement."""
