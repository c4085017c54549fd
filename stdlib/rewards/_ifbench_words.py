"""Instructions of IFBench about words, sentences and their numbers: Pyatkin et al., arXiv:2507.02833, appendix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from stdlib.rewards._text import count_syllables, sentences_of

Given = Mapping[str, Any]
Check = Callable[[str, str, Given], bool]

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.])[+-]?\d+(?:\.\d+)?(?!\w)")
_CLUSTER = re.compile(r"[bcdfghjklmnpqrstvwxyz]{2}")
_CONJUNCTIONS = frozenset(("for", "and", "nor", "but", "or", "yet", "so"))
_PRONOUN_TEXT = (
    "i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she "
    "her hers herself it its itself they them their theirs themselves"
)
_STOP_TEXT = (
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself they them their theirs themselves what which who whom this that these those am is "
    "are was were be been being have has had having do does did doing a an the and but if or because as until "
    "while of at by for with about against between into through during before after above below to from up "
    "down in out on off over under again further then once here there when where why how all any both each few "
    "more most other some such no nor not only own same so than too very s t can will just don should now"
)
# The instruction itself lists them.
_NAME_TEXT = (
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin "
    "Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria "
    "Elijah Layla Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella "
    "Jonathan"
)
_PRONOUNS, _STOP_WORDS = frozenset(_PRONOUN_TEXT.split()), frozenset(_STOP_TEXT.split())


def _plain(text: str) -> list[str]:
    """The words in lower case, without what is no letter or digit: `aren't` and `hy-phens` are one word each."""
    found = (re.sub(r"[^\w]|_", "", word.lower()) for word in text.split())
    return [word for word in found if word]


def _tokens(text: str) -> list[str]:
    """The words in lower case, apart at every sign but an apostrophe: `she/her` are two."""
    return [word.strip("'") for word in re.findall(r"[\w']+", text.lower().replace("\u2019", "'")) if word.strip("'")]


def _number_of_words(text: str, _: str, given: Given) -> bool:
    return int(given["min_words"]) <= len(_tokens(text)) <= int(given["max_words"])


def _unique_words(text: str, _: str, given: Given) -> bool:
    return len(set(_tokens(text))) >= int(given["N"])


def _stop_words(text: str, _: str, given: Given) -> bool:
    words = _tokens(text)
    return bool(words) and 100 * sum(word in _STOP_WORDS for word in words) <= float(given["percentage"]) * len(words)


def _ends(text: str) -> Counter[str]:
    ends = Counter("?" if s.rstrip("\"')*_").endswith("?") else s.rstrip("\"')*_")[-1:] for s in sentences_of(text))
    return Counter({"?": ends["?"], "!": ends["!"], ".": ends.total() - ends["?"] - ends["!"]})


def _sentence_type(text: str, _: str, given: Given) -> bool:
    ends = _ends(text)
    return ends["?"] > 0 and ends["."] == 2 * ends["?"]


def _sentence_balance(text: str, _: str, given: Given) -> bool:
    ends = _ends(text)
    return ends["."] == ends["?"] == ends["!"] > 0


def _conjunctions(text: str, _: str, given: Given) -> bool:
    return len(_CONJUNCTIONS & set(_tokens(text))) >= int(given["small_n"])


def _overlap(text: str, _: str, given: Given) -> bool:
    own, other = _trigrams(text), _trigrams(str(given["reference_text"]))
    return bool(own) and abs(100 * len(own & other) / len(own) - float(given["percentage"])) <= 2


def _trigrams(text: str) -> set[tuple[str, ...]]:
    words = _tokens(text)
    return set(zip(words, words[1:], words[2:], strict=False))


def _numbers(text: str, _: str, given: Given) -> bool:
    return len(_NUMBER.findall(text)) == int(given["N"])


def _alphabet(text: str, _: str, given: Given) -> bool:
    first = [word[0] for word in _plain(text)]
    start = ord(first[0]) - ord("a") if first else -1
    return 0 <= start < 26 and all(ord(c) - ord("a") == (start + i) % 26 for i, c in enumerate(first))


def _vowels(text: str, _: str, given: Given) -> bool:
    paragraphs = [line for line in text.strip().splitlines() if line.strip()]
    return len(paragraphs) == 1 and len(set(text.lower()) & set("aeiou")) <= 3


def _clusters(text: str, _: str, given: Given) -> bool:
    return all(_CLUSTER.search(word) for word in _plain(text))


def _alliteration(text: str, _: str, given: Given) -> bool:
    runs = [_longest_run([word[0] for word in _plain(sentence)]) for sentence in sentences_of(text)]
    return _rises(runs)


def _longest_run(letters: Sequence[str]) -> int:
    longest = run = 0
    for i, letter in enumerate(letters):
        run = run + 1 if i and letter == letters[i - 1] else 1
        longest = max(longest, run)
    return longest


def _rises(numbers: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(numbers))


def _palindromes(text: str, _: str, given: Given) -> bool:
    return sum(len(word) >= 5 and word == word[::-1] for word in _plain(text)) >= 10


def _punctuation(text: str, _: str, given: Given) -> bool:
    return all(mark in text for mark in ".,!?;:") and any(mark in text for mark in ("?!", "!?", "\u203d"))


def _prime_lengths(text: str, _: str, given: Given) -> bool:
    return all(_is_prime(len(word)) for word in _plain(text))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % i for i in range(2, int(number**0.5) + 1))


def _equal_sentences(text: str, _: str, given: Given) -> bool:
    sentences = sentences_of(text)
    words = [word for sentence in sentences for word in _plain(sentence)]
    return len(sentences) == 3 and len({len(s) for s in sentences}) == 1 and len(set(words)) == len(words)


def _repeats(text: str, _: str, given: Given) -> bool:
    return max(Counter(_tokens(text)).values(), default=0) <= int(given["small_n"])


def _keyword(text: str, _: str, given: Given) -> bool:
    sentences, at = sentences_of(text), int(given["N"])
    return at <= len(sentences) and str(given["word"]).lower() in sentences[at - 1].lower()


def _pronouns(text: str, _: str, given: Given) -> bool:
    return sum(word in _PRONOUNS for word in _tokens(text)) >= int(given["N"])


def _syllables(text: str, _: str, given: Given) -> bool:
    parities = [count_syllables(word) % 2 for word in _plain(text)]
    return all(one != other for one, other in pairwise(parities))


def _last_first(text: str, _: str, given: Given) -> bool:
    sentences = [_plain(sentence) for sentence in re.split(r"(?<=[.!?])\s+", text.strip())]
    if not all(sentences):
        return False
    return all(one[-1] == other[0] for one, other in pairwise(sentences))


def _paragraphs(text: str, _: str, given: Given) -> bool:
    paragraphs = [_plain(line) for line in text.splitlines() if line.strip()]
    return all(words and words[0] == words[-1] for words in paragraphs)


def _increment(text: str, _: str, given: Given) -> bool:
    counts = [len(_plain(sentence)) for sentence in sentences_of(text)]
    return all(other - one == int(given["small_n"]) for one, other in pairwise(counts))


def _no_consecutive(text: str, _: str, given: Given) -> bool:
    words = _plain(text)
    return all(one[0] != other[0] for one, other in pairwise(words))


def _several_keywords(text: str, _: str, given: Given) -> bool:
    wanted = ((f"keyword{i}", count) for i, count in enumerate((1, 2, 3, 5, 7), 1))
    return all(_occurs(str(given[key]), text) == count for key, count in wanted if key in given or key == "keyword1")


def _occurs(word: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


def _keyword_at(text: str, _: str, given: Given) -> bool:
    sentences, n, m = sentences_of(text), int(given["n"]), int(given["m"])
    words = _plain(sentences[n - 1]) if n <= len(sentences) else []
    return m <= len(words) and words[m - 1] == str(given["keyword"]).lower()


def _second_words(text: str, _: str, given: Given) -> bool:
    words, keyword = _plain(text), str(given["keyword"]).lower()
    return len(words) > 1 and words[1] == words[-2] == keyword


def _names(text: str, _: str, given: Given) -> bool:
    return sum(name in text for name in _NAME_TEXT.split()) >= int(given["N"])


WORDS: Mapping[str, Check] = {
    "count:word_count_range": _number_of_words,
    "count:unique_word_count": _unique_words,
    "count:conjunctions": _conjunctions,
    "count:numbers": _numbers,
    "count:punctuation": _punctuation,
    "count:pronouns": _pronouns,
    "count:person_names": _names,
    "count:keywords_multiple": _several_keywords,
    "ratio:stop_words": _stop_words,
    "ratio:sentence_type": _sentence_type,
    "ratio:sentence_balance": _sentence_balance,
    "ratio:overlap": _overlap,
    "ratio:sentence_words": _equal_sentences,
    "words:alphabet": _alphabet,
    "words:vowel": _vowels,
    "words:consonants": _clusters,
    "words:palindrome": _palindromes,
    "words:prime_lengths": _prime_lengths,
    "words:repeats": _repeats,
    "words:odd_even_syllables": _syllables,
    "words:last_first": _last_first,
    "words:paragraph_last_first": _paragraphs,
    "words:no_consecutive": _no_consecutive,
    "words:keywords_specific_position": _keyword_at,
    "words:words_position": _second_words,
    "sentence:alliteration_increment": _alliteration,
    "sentence:keyword": _keyword,
    "sentence:increment": _increment,
}
