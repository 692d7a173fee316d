"""What the page of an audit says about how to read it."""

from __future__ import annotations

HOW_TO_READ = """\
## How to read the leakage

A step that is true can still give the answer away: "how many dogs are there" is answered by a list that names `dog
1` to `dog 3`. The tables compare each condition's context with the reference answers, word by word and without any
model.

- **Readable** is the share of questions whose reference answer, its head word or its number stands in the context.
- **Chance** is the same share for the answers of other questions: each context is held against the answers of all
  questions of its split and question type that are about other videos, and the mean is taken. It is what randomly
  permuted answers would give on average; nothing is drawn.
- **Excess** is readable minus chance, in percentage points, with its 95% interval over videos: what the context
  holds of *its own* question's answer. Compare conditions by their excess, and read it against that of the
  question's own text.
- **New** is the share readable in the context and not in the question itself, minus its own chance.
- For multiple choice, **wrong options** is the share of the wrong options of the same questions that can be read
  off, and **margin** is readable minus it: by how much reading alone sets the right option apart.

A high excess says that a model could gain by reading instead of watching. It does not say that one did: compare
`cotasks` with `blind-cotasks` in a run for that. A low excess is a lower bound, since words are compared by form,
and a model also infers: "guitar" and "play" in a context make "perform" likely, and neither is that word.
"""

DEFINITIONS = """\
### Definitions

- **Words**: lower case, without punctuation and articles, numerals as words (`answers.normalise`), then folded:
  "holds", "holding" and "held" are "hold", "babies" is "baby". The context's layout is not read: titles, times,
  frame numbers, coordinates, "none".
- **Whole answer**: all words of a reference, in a row, within one entity name or one triple. A reference that is
  only a number counts where its number can be read off.
- **Head word**: where the question asks for an action (why, how, what ... do, what happens), the first word of the
  reference that is no function word, colour, size or number; else the last such word before the next function word.
  It stands anywhere in the context. Over questions that have one.
- **Number**: what the reference begins with ("two", "3 dogs") is the number of entities of some category, counted
  by their names or by the highest number in one ("adult 3"), or the number asked for, below. Over questions that
  have one.
- **Number of what is asked for**: over questions "how many X" where the word table of lexical step 1 ties X to
  annotated categories of the video: the entities of these categories together are as many as the answer says. This
  is also the accuracy of always answering with that count.
- **A related name**: looser. The reference stands, by the same word table, for a predicate (where an action is
  asked for) or a category (else) that the context names: "puppy" for `dog`. Over questions whose reference stands
  for any.
- **Yes where affirmed**: accuracy, over yes/no questions that name something annotated, of saying yes where the
  context affirms the question, else no. It affirms what it names: some category for each phrase of the question that
  the word table ties to categories, and where a word is tied to predicates, a triple with one of these and a thing of
  the question. Chance is the share of other yes/no questions with that answer.
- **Named most**: accuracy of always answering with the category, or with the predicate, that the context names most
  often (exact match in normal form; either side of a "/" will do). Multiple choice: of always choosing the option
  of whose words, function words aside, the largest share is in the context, then the one whose words are named most
  often on average; chance is one in the number of options. Among equals the accuracy is the expected one of a
  random choice.
- **Question's own text** stands in place of a context, without options. **Without actions** leaves out STAR's
  action triples, which often name the question's verb and answer.
- Where there are several references, any of them counts. Intervals are those of the report: score
  intervals with cluster-robust errors over videos.
"""
