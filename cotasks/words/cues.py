"""The words by which an answer declares, doubts or rejects an option, in the languages that models answer in.

Tables named `..._BEFORE` are sought at the end of what stands before an option's letter in its sentence, tables named
`..._AFTER` at the beginning of what stands after it, both in lower case. `mentions` says in which order.
"""

from __future__ import annotations

import re


def _any(*phrases: str) -> str:
    """One of some phrases, which commas separate, the longest first. A phrase is a regular expression."""
    each = [phrase.strip() for line in phrases for phrase in line.split(",") if phrase.strip()]
    return "(?:" + "|".join(sorted(each, key=len, reverse=True)) + ")"


def _before(*ways: str) -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(ways) + ")$")


def _after(*ways: str) -> re.Pattern[str]:
    return re.compile("[ \t]*(?:" + "|".join(ways) + ")")


# -- words

NOUN = (
    r"\b"
    + _any(
        "answers?, ans\\.?, option, choice, alternative, response, selection, pick, prediction, guess, verdict, letter",
        "conclusion, solution, result, output, vote, match, explanation, interpretation, statement, description",
        "classification, diagnosis, respuesta, opción, alternativa, réponse, choix, l['’]option, antwort, lösung",
        "resposta, opção, letra, risposta, opzione, scelta, antwoord, optie, odpowiedź, svar, svaret, vastaus, odpověď",
        "răspunsul, răspuns, válasz, cevap, yanıt, jawaban, jawabannya, pilihan, jawapan, đáp án, câu trả lời",
        "phương án, ответ, вариант, відповідь, απάντηση, תשובה, پاسخ, گزینه, جواب, الإجابة, الجواب, الخيار, उत्तर",
        "विकल्प, উত্তর",
    )
    + r"(?!\w)"
)
"""What an answer is called."""
_EAST_NOUN = _any(
    "答案, 正解, 正答, 回答え?, 答え, 解答え?, 结论, 結論, 正确选项, 正確選項",
    "最佳选项, 最佳選項, 정답, 답변, 답, คำตอบ, ตอบ",
)
_OPTION = (
    r"(?:\b"
    + _any("option, choice, answer, opción, alternativa, opção, l['’]option, opzione, вариант")
    + "|选项|選項|選択肢)"
)
FILL = (
    "(?:"
    + _any(
        "is, are, was, were, be, being, would, should, must, will, has, have, to, seems?, appears?, looks?, like",
        "likely, likeliest, most, more, probably, clearly, definitely, certainly, obviously, undoubtedly, simply",
        "indeed",
        "actually, therefore, thus, then, hence, so, still, also, best, correct, right, final, only, thought, think, i",
        "believe, feel, say, guess, that, this, it, it's, that's, the, an, a, my, your, one, as, in, fact, here",
        "either, again, now, just, basically, essentially, overall, option, options, choice, choices, answer",
        "answers, letter",
        "letters, alternative, number, marked, labell?ed, statement, es, era, sería, debe, ser, la, el, los, opción",
        "respuesta, correcta, est, le, les, l['’]option, réponse, bonne, correcte, ist, lautet, wäre, die, der, das",
        "richtige, richtig, antwort, é, seria, o, opção, alternativa, letra, correta, è, l['’]opzione, opzione",
        "corretta, giusta, het, de, optie, juiste, jest, poprawna, prawidłowa, odpowiedź, är, er, on, je, este, adalah",
        "yang, benar, ialah, это, вариант, правильный, là, đúng, doğru, seçenek, هي, هو, الخيار, الصحيحة, الصحيح, است",
        "คือ, ข้อ, है, হলো",
    )
    + r"(?![\w'])|[:=→,()\[\]<—–-]|\s)*"
)
"""What may stand between a cue and the letter."""
_IS = _any(
    "is, are, was, would be, should be, must be, has to be, will be, can only be, could only be, seems to be",
    "appears to be",
)
_GOOD = (
    r"\b"
    + _any(
        "correct, right, best, final, true, most \\w+, likeliest, likely, chosen, selected, only, accurate",
        "appropriate, closest, suitable, correcta, bonne, correcte, richtige, correta, corretta, giusta, juiste",
        "poprawna",
    )
    + r"\b"
)
_STOP = r"\s*(?:$|[.,:;!)\]→(–—/|]|-\s)"
STOPS = re.compile(rf"{_STOP}|\s+(?:because|since|as|for)\b")
CLAUSE_ENDS = re.compile(
    rf"{_STOP}|\s*[^\x00-\u024f]|\s+"
    + _any(
        "because, since, as, for, given, due, which, where, with, based, in, over, rather, instead, and, not, but, so",
        "while, although, though, from, according, here, that, when, after, by, on, porque, parce, car, weil, denn",
        "perché, pois, так",
    )
    + r"\b"
)
"""After the letter of a declaration: a mark, a word that begins a reason, or another script."""
CLAUSE = re.compile(r"[,;:—–]|\b(?:but|so|however|therefore|thus|hence|because|since|although|though|while|and)\b")
"""Between two clauses; a doubt holds for its own."""

# -- rejected

_WINDOW = (  # up to eight words, none of which begins something new
    r"(?:(?!(?:but|so|because|since|therefore|thus|hence|and|which|while|as|making|leaving|leaves|however)\b)"
    r"[\w'’]+[ \t]+){0,8}?"
)
REJECTS_BEFORE = _before(
    r"(?:\b"
    + _any(
        "not, never, cannot, hardly, neither, nor, nicht, keine?, pas, não, nunca, non, niet, inte, ikke, bukan, nie"
    )
    + rf"|\bне|\bkhông|\bno (?:es|era|la|el|creo|puede)|n['’]t)[ \t]+{_WINDOW}[(\[]?",
    r"\b"
    + _any(
        "rul(?:e[sd]?|ing) out, (?:eliminat|exclud)(?:e[sd]?|ing), (?:discard|dismiss|reject|discount)(?:e?s|ed|ing)?",
        "cross(?:ed|ing)? out, rather than, instead of, as opposed to, unlike, except(?: for)?, other than, over",
        "less likely than, preferred to, neither, nor, none of, against, no evidence (?:of|for), descart\\w+",
        "en lugar de, plutôt que, an?statt, élimin\\w+, au lieu d[e'], em vez de, invece di",
    )
    + FILL,
    r"\b(?:wrong|incorrect|false|eliminated|excluded|ruled out)\s*:\s*[(\[]?",
    r"(?:(?:而|并|並)?(?:不是|不选|不選|非)|不[应應](?:该|該)?[选選]|排除|不会是|不會是)(?:选项|選項)?[\s(\[]*",
)
ALL_BUT_BEFORE = _before(
    r"\b(?:all|every\w*|none|any\w*|nothing|no)\b[^.;:!?]{0,60}\b(?:except|but|other than|besides|save|apart from)\b"
    rf"(?: for)?{FILL}"
)
"""What the sentence goes on to say, it says of the others."""
_NEW_CLAUSE = (
    r"(?:because|since|as|for|so|but|and|which|while|although|though|if|when|where|he|she|they|it|his|her|their|its|there"
    r"|the|no)\b"
)
REJECTS_AFTER = _after(
    rf"(?:[,(–—:-][ \t]*)?(?:(?!{_NEW_CLAUSE})[\w'’-]+[ \t]+){{0,3}}?(?:"
    r"(?:is|are|was|were|do|does|did|has|have|had|can|could|would|should)n['’]t|(?<!if )not\b(?![ \t]+(?:only|just))"
    r"|cannot|can['’]t|never|"
    + _any(
        "incorrect, wrong, false, unlikely, less likely, less plausible, improbable, implausible, irrelevant",
        "impossible, invalid, inaccurate, unsupported, untrue, off, out, excluded, eliminated, ruled out, discarded",
        "dismissed, rejected, (?:a )?(?:common )?distractor, lacks?, fails?, contradict\\w*, no longer, ha(?:s|ve) no",
    )
    + r"\b)",
    "✗",
    r"(?:是|选项|選項|项|項|都|也|则|則|\s)*(?:错|錯|不正|不对|不對|不符|被?排除|可以排除|不是)",
    "は?で?(?:はな|じゃな|は?間違|は?誤|は?違)",
    r"(?:는|가|은|이)?\s*(?:아니|아닌|틀|오답)",
    r"(?:(?:es|est|ist|é|è)\s+)?"
    + _any("falsch, incorrect[aeo], incorreta, fausse, sbagliata, errad[ao], falsa, неверн\\w*, неправильн\\w*"),
    r"no es\b|n['’]est pas|nicht richtig",
)
RATHER_THAN = re.compile(
    r"[ \t]*[,(]?[ \t]*(?:and[ \t]+)?(?:not|rather|nor)[ \t]+(?:(?:option|choice)[ \t]+)?[(\[]?[A-Z]\b"
)
"""After a letter: another that it is preferred to ("B, not C"). With its case."""

# -- declared

_CHOOSE = _any(
    "choos(?:e|ing), chose, pick(?:ed|ing)?, select(?:ed|ing)?, go(?:ing)? (?:with|for), went with, conclude, sure",
    "opt(?:ed|ing)? for, vot(?:e|ed) for, settled? (?:on|for), lean(?:ing)? (?:towards?|to), decided? (?:on|for)",
    "prefer, confident, think, believe, (?:would|['’]d|will|['’]ll|to|i) (?:say|guess|answer(?: with)?|conclude)",
)
_SO = _any(
    "so, thus, hence, therefore, consequently, accordingly, i\\.?e\\.?, namely, that is, finally, elimination",
    "sondern, sino, mais",
)
_ELSEWHERE = _any(
    "elijo, escojo, creo que, es, sería, choisis, c['’]est, wähle, nehme, escolho, scelgo, kies, väljer, memilih",
    "seçiyorum, chọn, выбираю",
)
DECLARES_BEFORE = _before(
    # "the answer to the question is", "answer:", "option"
    rf"{NOUN}(?:['’]s\b)?(?:[ \t]*\([^()]{{1,30}}\))?"
    rf"(?:(?:[ \t]+[\w'’,?/-]+){{0,14}}?[ \t]*(?:\b{_IS}\b|[:=→]))?{FILL}",
    # "the most likely thing is"
    rf"{_GOOD}(?:[ \t]+[\w'’-]+){{0,24}}?[ \t]+{_IS}\b{FILL}",
    # "it's", "that must be"
    rf"\b(?:it|that|this|which|he|she|they)(?:['’]s|[ \t]+{_IS})\b{FILL}",
    # "I choose", "I'd say"
    rf"\b{_CHOOSE}\b{FILL}",
    # "looks like"
    rf"(?:^|[,;:]\s*)(?:it )?(?:looks|seems|sounds)(?: like| to be)\b{FILL}",
    # "which leaves only"
    rf"\b(?:leav(?:es|ing)|remain(?:s|ing)?|left with)\b{FILL}(?:(?:us|me|only|just|with)\s+)*{FILL}",
    # "so"
    rf"(?:^|[\s,;:.])(?:{_SO}(?![\w'])|→){FILL}",
    # other languages
    rf"\b{_ELSEWHERE}\b{FILL}",
    rf"{_EAST_NOUN}[^,.;!?不非A-Za-z]{{0,10}}[(\[]?\s*",
    r"(?:[选選](?:择|擇)?|[应應][该該]?是|而是|就是|故|因此|所以)(?:项|項|为|為|是|选|選|[\s:(\[])*",
)
DECLARES = re.compile(rf"{NOUN}[^.;!?]{{0,60}}?(?:\b{_IS}\b|[:=])")
"""Anywhere before a letter in brackets at the end of the sentence."""
LABELLED_BEFORE = _before(
    rf"(?:{NOUN}|\b(?:final|correct|right|selected|chosen)|{_EAST_NOUN})\s*(?:{_IS}(?!\w){FILL}|[:=.→(\]]|\s-)"
    r"\s*(?:(?:the|option|choice|letter)\s+)*[(\[]?"
)
"""So clear that a small letter after it is an option's: "the answer is b"."""
ONLY_BEFORE = _before(rf"\bonly {FILL}")
ONLY_AFTER = _after(r"(?:is|can|could|fits?|match(?:es)?|makes?|remains?|applies|works|seems?)\b")
REASONS_AFTER = _after(r"(?:[,;–—-][ \t]*)?(?:because|since|as|given|due to|rather than|instead of|over|not)\b")
"""After a letter that begins its sentence."""
_SEEMS = (
    r"(?:is|are|was|seems?(?: to be)?|looks?(?: like)?|appears?(?: to be)?|(?:would|should|must|has to|will) be|['’]s"
    r"|being|feels?|remains?)[ \t]+"
)
_FITS = (
    _any(
        "fits?, match(?:es)?, describes?, explains?, answers the, aligns, makes (?:the most )?sense, works best",
        "comes closest, stands out, wins, (?:really |actually )?(?:happens|happened|occurs)",
    )
    + r"\b(?! (?:only|other|different|another|some)\b)"
)
_MOST = (  # "most likely", but not "most likely a plaque"
    r"(?:(?:more|most) \w+|likeliest)"
    r"(?=\s*(?:$|[.,;:)]|to\b|of\b|for\b|given|because|since|as\b|based|here|answer|option|choice|explanation|one\b))"
)
DECLARES_AFTER = _after(
    rf"{_SEEMS}(?:[\w'’-]+[ \t]+){{0,3}}?"
    rf"(?:correct|right|best|better|preferable|true|the reason\b|{_MOST}|supported|consistent|it\b|left\b|chosen"
    r"|(?:the )?(?:only|correct|right)? ?(?:one|answer|option|choice)\b|my (?:pick|guess)"
    r"|what (?:happens|happened|is happening|we see|occurs|the video shows"
    r"|(?:he|she|it|they|the [a-z]+) (?:does|do|did|is doing)))",
    rf"(?:(?:best|clearly|most closely|exactly|also) )?{_FITS}",
    r"it (?:is|must be)\b",
    r"(?:as )?(?:the|my) (?:(?:correct|right|best|final|most \w+) )*(?:answer|option|choice)\b",
    r"✓|[,(–—:-][ \t]*(?:correct|right|true|yes)\b",
    r"(?:选项|選項|项|項|\s)*(?:是|为|為)?\s*(?:正确|正確|对的|對的|最?符合|答案)",
    "(?:が|は)(?:正|答|最も)|です|だと|を選|となり|になり",
    r"입니다|(?:가|이)\s*(?:정답|맞|가장)|번입",
    r"(?:es|est|ist|é|è|jest|är|er)\s+(?:(?:la|die|a|le|el) )?"
    + _any(
        "correct[aeo], correta, corretta, richtig\\w*, bonne, giusta, juist, poprawna, rätt, riktig, respuesta",
        "réponse, antwort, resposta",
    ),
)
WEIGHS_AFTER = _after(
    r"(?:is|are|was|seems?(?: to be)?|looks?|appears?(?: to be)?)[ \t]+(?:[\w'’-]+[ \t]+){0,2}?"
    r"(?:correct|right|true|supported|consistent|accurate)\b(?![ \t]+(?:answer|option|choice|one))",
    r"(?:also |clearly |really |actually )?(?:fits?|match(?:es)?|aligns|happens|happened|occurs)\b",
    r"✓|[,(–—:-][ \t]*(?:correct|right|true|yes)\b|(?:选项|選項|项|項|\s)*(?:是|为|為)?\s*(?:正确|正確|对的|對的|符合)",
)
"""A judgement that several options may get."""

# -- pointed to, or merely named

NAMES_BEFORE = _before(
    r"\b"
    + _any(
        "match(?:es|ing)?, correspond(?:s|ing)? to, align(?:s|ed)? with, consistent with, support(?:s|ing|ed)?",
        "point(?:s|ing)? to(?:wards?)?, indicat(?:es?|ing), suggest(?:s|ing)?, described (?:in|by|as), fits?",
        "captured by, leads? to, favou?rs, reflects?, reflected in, stated in, listed (?:in|as), mak(?:es|ing), is",
        "are, called",
    )
    + rf"\b{FILL}",
    r"[:→]\s*[(\[]?",
    r"(?:符合|对应|對應|是)[\s(\[]*",
)
OPTION_BEFORE = _before(rf"(?:\bthe\s+)?{_OPTION}\s*[(\[]?")
NEUTRAL_BEFORE = _before(
    r"\b(?:options|choices|answers|candidates|possibilities|labels"
    r"|(?:another|other|next|first|second|alternative|one|possible|wrong|incorrect)"
    r" (?:option|choice|answer|possibility|alternative|candidate))\b"
    rf"(?:[ \t]+[\w'’-]+){{0,4}}?{FILL}(?:(?:between|among|from)\b)?{FILL}",
    r"\b(?:between|consider(?:s|ing|ed)?|compar(?:e|ing)|versus|vs\.?|such as|e\.g\.)[^,;]{0,40}",
)
FROM_THE_OPTIONS = re.compile(
    r"\b(?:from|in|of|among|amongst|out of|with)\s+(?:all\s+)?(?:(?:the|these|those)\s+)?(?:[\w-]+\s+){0,3}"
    r"(?:options|choices|answers|candidates)\b,?"
)
"""Says nothing of the answer, wherever it stands."""

# -- doubted, in the clause up to the letter or after it

DOUBTS = re.compile(
    r"\b"
    + _any(
        "could, might, may, possibly, perhaps, maybe, potentially, tempt(?:ed|ing), distractors?, mistaken?(?:ly)?",
        "(?:initial|first) (?:thought|impression|guess|instinct|answer), thought, considered, assumed, seemed, suppose",
        "going to, about to, wanted to",
    )
    + r"\b|可能|也许|或许"
)
AT_FIRST = re.compile(
    r"\b(?:at first(?: glance| sight)?|initially|originally),? (?:the|it|one|i|we|this|that|option|my)\b[^,;.]*$"
)
DOUBTS_AFTER = _after(
    r"(?:might|may|could|can)\b|(?:looks?|seems?) plausible|is (?:also )?(?:possible|plausible|tempting)"
)
OTHERS = re.compile(
    r"\b(?:some|one|you|people|others|many|someone|viewers) (?:people |viewers )?(?:might|may|could|would)\b"
)
"""What others would choose, the answer does not."""
CONDITION = re.compile(
    r"\b(?:if|unless|suppose|assuming|whether)\b"
    r"(?! (?:i|we) (?:had|have|must|were|am|need)\b[^,]{0,20}\b(?:choose|guess|pick|answer|select|decide|say)\b)"
    r"(?! forced| anything)|如果|假如"
)
IF_AFTER = re.compile(r"\bif\b")
WOULD = re.compile(r"\b(?:would|could|might)\b")
GIVES_UP = re.compile(r"\b(?:but|however)\b")
"""After an option that was named with a doubt: it is not meant."""

# -- between two declarations

TURNS_BACK = re.compile(
    r"\b"
    + _any(
        "wait, actually, correction, correct (?:this|that|my\\w*), on second thought, reconsider\\w*, sorry",
        "mistake\\w*, re-?(?:examin|evaluat|check|read|watch)\\w*, i was wrong, scratch that",
        "let me (?:re|double|correct|check)\\w*, looking (?:closer|again|more closely), upon (?:closer|further), hmm+",
        "oops, changed? my mind",
        "after (?:checking|review\\w*|looking|closer|watching|further)",
    )
    + r"\b|等等|不对|不對|重新|更正|待って|訂正"
)
GOES_ON = re.compile(
    r"\b"
    + _any(
        "but, however, though, although, yet, nevertheless, instead, therefore, thus, hence, so, final(?:ly)?",
        "conclusion, overall, summary, consequently, more likely, better, pero, sin embargo, cependant, aber, jedoch",
        "porém, però, но, однако",
    )
    + r"\b|但|不过|不過|然而|因此|所以|最终|最終|しかし|하지만|따라서"
)
EXPLAINS = re.compile(
    r"\b(?:explanation|reason\w*|rationale|justification|analysis|note|why|other options)\b", re.IGNORECASE
)
"""Between an answer and what is said of the other options."""
UNFINISHED = re.compile(r":\s*$")
"""At the end of a text whose answer was cut off."""

# -- in an item of a list of options

_WRONG = "correct|right|true|likely|plausible|supported|consistent|possible|accurate|shown|seen|visible|the case|what"
ITEM_WRONG = re.compile(
    r"\b"
    + _any(
        "incorrect, wrong, false, unlikely, implausible, improbable, irrelevant, impossible, unsupported, inaccurate",
        "invalid, contradicts?, contradicted, eliminated?, excluded?, ruled out, less likely, no evidence",
        rf"not (?:\w+ )?(?:{_WRONG}|happen\w*|match\w*|fit\w*)",
        rf"(?:does|do|did|is|was)(?: not|n['’]t) (?:\w+ )?(?:{_WRONG}|happen|match|fit|align)",
    )
    + r"\b|^\W*(?:no|not|never)\b|\bno\W*$|✗|不正|不对|不對|不符|错|錯|誤"
)
ITEM_RIGHT = re.compile(
    r"\b(?:correct|this is what (?:happens|happened|we see)|what happens"
    r"|(?:this|which|it|that) (?:\w+ )?"
    r"(?:matches|fits|happens|aligns|describes|corresponds|is (?:\w+ )?(?:supported|consistent|accurate|right|true)))\b"
    r"|^\W*yes\b|\byes\W*$|✓|正确|正確|符合"
)
ITEM_VERDICT = re.compile(r"(?:✓|✗|(?<!not )\b(?:in)?correct|\bwrong|\byes|\bno|\bfalse|\btrue)[\s.!)]*$")
"""At the end of an item."""

# -- by an option's text

ORDINALS = re.compile(
    r"\b(?:the )?(first|1st|second|2nd|third|3rd|fourth|4th|fifth|5th|sixth|6th|last) (?:answer )?"
    r"(?:option|alternative)\b",
    re.IGNORECASE,
)
ORDINAL_NUMBERS = {
    word: number
    for number, words in enumerate(("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th"))
    for word in words.split()
}
AND_ANOTHER = re.compile(r"\s*(?:,|/|&)?\s*(?:and|or)\s")
TEXT_ENDS = re.compile(
    r"\s*(?:$|[.;:!)\]–—(-])|,?\s+"
    + _any(
        "because, since, as, so, which, where, for, due, given, based, not, rather, instead, in, on, at, by, when",
        "while, here, too, now, though, but, option, indeed",
    )
    + r"\b"
)
"""After an option of one word: "white, because"; but not "strong, negative" nor "red car"."""
CONTRACTED = re.compile(r"\b(he|she|it|that|there|this|who|what|where)['’]s\b", re.IGNORECASE)
DENIED = re.compile(
    r"\b(?:not|n t|\w*n t|never|no|cannot|without)(?: \w+){0,3}$"
    r"|\b(?:(?:more|less|fewer|other|rather) than|at least|at most|up to|almost|nearly|instead of|unlike)$"
)
"""Right before an option's text in normal form."""
CONCLUDES = re.compile(
    r"^\W*"
    + _any(
        "therefore, thus, hence, so, based on, given, considering, overall, in (?:conclusion|summary), conclusion",
        "finally, from (?:this|these), this, these, all of this, as a result, consequently",
    )
    + r"\b|\b(?:therefore|thus|hence|most likely|suggest(?:s|ing)|indicat(?:es|ing))\b|因此|所以"
)
"""In the last sentence of a long text, which then gives its result."""
