"""Instructions that can be checked, against the examples that their sources publish."""

from __future__ import annotations

import pytest

from compiler.ir.reward_settings import IfBenchReward
from stdlib.rewards._instructions import INSTRUCTIONS, UNCHECKED, follows
from stdlib.rewards._language import language_of
from stdlib.rewards._text import count_syllables, sentences_of
from stdlib.rewards.ifbench import reward
from stdlib.samples import JsonValue
from tests.support.judged import sample

Row = tuple[str, dict[str, object], str, bool]

IFEVAL: list[Row] = [
    ("keywords:existence", {"keywords": ["cat", "Dog"]}, "a dog and a Cat", True),
    ("keywords:existence", {"keywords": ["cat", "dog"]}, "a cat", False),
    ("keywords:frequency", {"keyword": "flow", "frequency": 2, "relation": "at least"}, "Flow, flow", True),
    ("keywords:frequency", {"keyword": "flow", "frequency": 2, "relation": "less than"}, "Flow, flow", False),
    ("keywords:forbidden_words", {"forbidden_words": ["can", "ride"]}, "canned riders", True),
    ("keywords:forbidden_words", {"forbidden_words": ["can", "ride"]}, "Can I", False),
    ("keywords:letter_frequency", {"letter": "n", "let_frequency": 4, "let_relation": "at least"}, "Nanny ran", True),
    ("keywords:letter_frequency", {"letter": "n", "let_frequency": 4, "let_relation": "less than"}, "Nanny ran", False),
    ("language:response_language", {"language": "de"}, "Das ist nicht wahr, und du bist es auch nicht.", True),
    ("language:response_language", {"language": "de"}, "This is not true, and you are not either.", False),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "One. Two.", True),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"}, "One. Two.", False),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", True),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, "one\n***\n***\ntwo", False),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two three", True),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "one two three", False),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "president"},
        "One.\n\nPresident, yes.",
        True,
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "president"},
        "One.\n\nPresident, yes.",
        False,
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[address], [name]", True),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[address]", False),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\n\nP.P.S. More", True),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\n\np. s. More", True),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.", False),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "List:\n* one\n- two", True),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "List:\n* one\n**bold**", False),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", True),
    ("detectable_format:constrained_response", {}, "Maybe.", False),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and **two words**", True),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and ** **", False),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1 a SECTION 2",
        True,
    ),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2}, "SECTION 1", False),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', True),
    ("detectable_format:json_format", {}, "{a: 1}", False),
    ("detectable_format:title", {}, "<<poem of joy>>\nJoy", True),
    ("detectable_format:title", {}, "<<>>\nJoy", False),
    ("combination:two_responses", {}, "one******two", True),
    ("combination:two_responses", {}, "one******one", False),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", True),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "It. Say it.", False),
    ("startend:end_checker", {"end_phrase": "Any other questions?"}, 'Yes. any other questions?"', True),
    ("startend:end_checker", {"end_phrase": "Any other questions?"}, "Any other questions? No.", False),
    ("startend:quotation", {}, '"Yes."', True),
    ("startend:quotation", {}, '"Yes', False),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "NO and NEVER",
        True,
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "NO NEVER",
        False,
    ),
    ("change_case:english_capital", {}, "THIS IS THE END", True),
    ("change_case:english_capital", {}, "DAS IST NICHT WAHR UND AUCH NICHT DA", False),
    ("change_case:english_lowercase", {}, "this is the end", True),
    ("change_case:english_lowercase", {}, "This is the end", False),
    ("punctuation:no_comma", {}, "one; two", True),
    ("punctuation:no_comma", {}, "one, two", False),
]
# From the tests that come with IFBench, but for rows marked "own".
WORDS: list[Row] = [
    ("count:word_count_range", {"min_words": 5, "max_words": 5}, "This message has five words.", True),
    ("count:word_count_range", {"min_words": 6, "max_words": 9}, "This message has five words.", False),
    ("count:unique_word_count", {"N": 5}, "This message has five unique words.", True),
    ("count:unique_word_count", {"N": 5}, "a a b b c", False),  # own
    ("ratio:stop_words", {"percentage": 50}, "This message has a high stop word ratio.", True),
    ("ratio:stop_words", {"percentage": 30}, "This message has a high stop word ratio.", False),  # own
    ("ratio:sentence_type", {}, "This is a declarative sentence. Is this a question? I am not sure.", True),
    ("ratio:sentence_type", {}, "This is a declarative sentence. Is this a question? I am not sure!", False),  # own
    ("ratio:sentence_balance", {}, "This is a declarative sentence. Is this a question? I am not sure!", True),
    ("ratio:sentence_balance", {}, "This is a declarative sentence. Is this a question?", False),  # own
    (
        "count:conjunctions",
        {"small_n": 3},
        "I don't like it but I will do it and I will do it well yet I will not like it.",
        True,
    ),
    ("count:conjunctions", {"small_n": 2}, "and and and", False),  # own
    ("count:person_names", {"N": 3}, "Abigail, Gabriel, Nora", True),
    ("count:person_names", {"N": 47}, "Certainly! Here's a list of individuals: Audrey, Ben, Yanai, Ryan.", False),
    ("count:person_names", {"N": 2}, "Nora met Nora.", False),  # own: each counts once
    ("ratio:overlap", {"reference_text": "This is the test.", "percentage": 100}, "This is the test.", True),
    ("ratio:overlap", {"reference_text": "This is a reference text.", "percentage": 50}, "Hi", False),
    ("count:numbers", {"N": 3}, "This is 1 number. This is not 10 numbers. It is 3.", True),
    ("count:numbers", {"N": 3}, "Decimals like 3.14 should only count as one number 2.", False),
    ("count:numbers", {"N": 3}, "This is more than 3 numbers: 1 2 3.", False),
    ("count:numbers", {"N": 3}, "1 2 3", True),
    ("count:numbers", {"N": 1}, "This is one number: 100,000", True),
    ("count:numbers", {"N": 2}, "This is number 1. 2 comes next.", True),
    ("words:alphabet", {}, "Be cause dandelions eat freedom.", True),
    ("words:alphabet", {}, "Zooming around back.", True),
    ("words:alphabet", {}, "A big cat. Dogs eat food. . . Good", True),
    ("words:alphabet", {}, "Your zoo is very xeric.", False),
    ("words:alphabet", {}, "Great finds enter dark caves.", False),
    ("words:vowel", {}, "With I this is in.", True),
    ("words:vowel", {}, "the eel eek eked.\nyeah.", False),
    ("words:vowel", {}, "the eel eek eked out.", True),
    ("words:consonants", {}, "This employs consonant clusters.", True),
    ("words:consonants", {}, "This does not.", False),
    (
        "sentence:alliteration_increment",
        {},
        "No alliteration. Some semblance of alliteration. Alliterating across alphabet is interesting.",
        True,
    ),
    (
        "sentence:alliteration_increment",
        {},
        "No alliteration. Some semblance of alliteration. Alliterating across alphabet is interesting. But not here.",
        False,
    ),
    (
        "words:palindrome",
        {},
        "Racecar, radar, and level are palindromes. So are madam and civic. Three more include refer, tenet, and "
        "deified. The last two are repaper and reviver.",
        True,
    ),
    ("words:palindrome", {}, "Ada, Eve, Bob, Nan, Otto, Ava, Pip, Elle, Ivi, Ana, and Asa.", False),
    ("count:punctuation", {}, "All the punctuation marks: . , ! ? ; : !?", True),
    ("count:punctuation", {}, "Some punctuation.,?!", False),
    ("words:prime_lengths", {}, "Prime numbers are in.", True),
    ("words:prime_lengths", {}, "aren't hy-phens?", True),
    ("words:prime_lengths", {}, "Composite numbers are not.", False),
    ("ratio:sentence_words", {}, "This is one. Now it's 22. On to three.", True),
    ("ratio:sentence_words", {}, "This. Is. Not. Correct.", False),
    ("words:repeats", {"small_n": 3}, "This is one. This is two. This is three.", True),
    ("words:repeats", {"small_n": 2}, "This is one. This is two. This is three.", False),
    ("sentence:keyword", {"word": "it", "N": 5}, "I am it. It is me. I am not it. It is not me. I am not it.", True),
    ("sentence:keyword", {"word": "it", "N": 5}, "I am it. It is not me.", False),
    ("count:pronouns", {"N": 5}, "I am a pronoun. It is a pronoun. He, she, and they are pronouns.", True),
    ("count:pronouns", {"N": 4}, "My pronouns are she/her/hers.", True),
    ("count:pronouns", {"N": 5}, "She is his sister. They share their parents.", False),
    ("count:pronouns", {"N": 4}, "She is his sister. They share their parents.", True),
    ("words:odd_even_syllables", {}, "Children have little to regret. They enjoy the sunshine.", True),
    ("words:odd_even_syllables", {}, "Chil-dren have lit'tle to regret.", True),
    ("words:odd_even_syllables", {}, "They enjoy the sunshine. But not the rain.", False),
    ("words:last_first", {}, "This feels unnatural. Unnatural is this test.", True),
    ("words:last_first", {}, "This must also work.\n\nWork across paragraphs.", True),
    ("words:last_first", {}, "This is not a success. This is a failure.", False),
    ("words:last_first", {}, "Hello world. ... Next sentence.", False),
    ("words:paragraph_last_first", {}, "This paragraph started with this.\n\nAnother starts with another.", True),
    ("words:paragraph_last_first", {}, "This paragraph started with this. Another starts with another.", False),
    (
        "sentence:increment",
        {"small_n": 2},
        "This has three. This sentence has 5 words. This sentence will have two more words.",
        True,
    ),
    (
        "sentence:increment",
        {"small_n": 3},
        "This has three. This sentence has 5 words. This sentence will have two more words.",
        False,
    ),
    ("words:no_consecutive", {}, "This words, though. ", True),
    ("words:no_consecutive", {}, "This shouldn't succeed.", False),
    ("count:keywords_multiple", {"keyword1": "cat", "keyword2": "dog"}, "Cat, dog, dogs, Dog", True),  # own
    ("count:keywords_multiple", {"keyword1": "cat", "keyword2": "dog"}, "cat dog", False),  # own
    ("words:keywords_specific_position", {"keyword": "cat", "n": 2, "m": 3}, "One. See the cat.", True),  # own
    ("words:keywords_specific_position", {"keyword": "cat", "n": 1, "m": 3}, "One. See the cat.", False),  # own
    ("words:words_position", {"keyword": "go"}, "We go and go on.", True),  # own
    ("words:words_position", {"keyword": "go"}, "We go and stay on.", False),  # own
]
NESTED = "I (wouldn't [technically) call] (this [nested) parentheses]. (More like [mismatched)]."
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CITIES = "ID,Country,City,Year,Count\n" + "".join(f"{i},UK,London,202{i},1\n" for i in range(1, 8))
GOODS = "ProductID,Category,Brand,Price,Stock\n" + "".join(f"{i},Books,Penguin,1.99,1\n" for i in range(1, 14))
SCORES = "\n".join(['"StudentID"\t "Subject"\t "Grade"\t "Semester"\t "Score"'] * 4)
QUESTIONS = "\n".join(
    f"Question {i}\n{'Why so? ' * i}\n" + "".join(f"{letter}) x\n" for letter in "ABCDE") for i in range(1, 5)
)
CAPITALS = (
    "Reykjav\u00edk, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, Berlin, "
    "Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, Bratislava, Budapest, Vaduz, "
    "Chi\u0219in\u0103u, Bern, Ljubljana, Zagreb"
)
FORMAT: list[Row] = [
    ("format:parentheses", {}, "This (is [nested {very (deeply [here], yay!)}]).", True),
    ("format:parentheses", {}, "((()))", False),
    ("format:parentheses", {}, NESTED, False),
    ("format:quotes", {}, 'These "quotes \'are "nested," here\' a lot."', True),
    ("format:quotes", {}, 'Let\'s hope it handles adjacent quotes well: "\'""\'".', True),
    ("format:quotes", {}, "These quotes 'are \"not nested,\" here' enough.", False),
    ("format:quotes", {}, "Three levels but not three pairs: '\"'\"'.", False),
    ("format:quotes", {}, 'Lots of "quotes" but not \'enough\' "nesting".', False),
    ("format:options", {"options": "(A), (B), (C)"}, "A", False),
    ("format:options", {"options": "I know or I don't know"}, "I don't know", True),
    ("format:options", {"options": "I know or I don't know"}, "I know or I don't know", False),
    ("format:options", {"options": "yes/no/maybe"}, "maybe", True),
    ("format:options", {"options": "yes/no/maybe"}, "yes/no", False),
    ("format:newline", {}, "This\n is\non\na\nnew\nline.", True),
    ("format:newline", {}, "hi . .\n  new . .\n  line ..", True),
    ("format:newline", {}, "This \n is \n not \n the \n rules, unfortunately.", False),
    ("format:emoji", {}, "This ends with emoji \U0001f600.", True),
    ("format:emoji", {}, "\U0001f600 This starts with emoji.", False),
    ("format:line_indent", {}, "  Two spaces. \n   Three spaces.\n    Four spaces. ", True),
    ("format:line_indent", {}, "  Two spaces. \n     Five spaces.\n    Four spaces.", False),
    ("format:quote_unquote", {}, 'A phrase out of quotes. "A phrase in quotes."\n\nAnother phrase out.', True),
    ("format:quote_unquote", {}, ' "Just a quoted phrase with no explanation." ', False),
    ("format:list", {"sep": "..."}, "Some explanation.\n ... A bullet point.\n ... Another bullet point.", True),
    ("format:list", {"sep": "..."}, "- Some explanation.\n - A bullet point.", False),
    ("format:thesis", {}, "<i>\n  A thesis.\n</i>\nA paragraph", True),
    ("format:thesis", {}, '<em>"Animal Farm" explores power.</em>\nIn it, more.', True),
    ("format:thesis", {}, "A thesis.\nA paragraph", False),  # own
    ("format:sub-bullets", {}, "Some.\n  * A bullet.\n     - A sub-bullet.\n     - Another.", True),
    ("format:sub-bullets", {}, "Some.\n  * A bullet.\n  * Another bullet.\n    - Only one.", False),
    ("format:no_bullets_bullets", {}, "This is one. This is another.\n  * A bullet.\n  * Another bullet.", True),
    ("format:no_bullets_bullets", {}, "This is a sentence.\n  * A bullet.\n  * Another.\n  * A third.", False),
    ("format:no_bullets_bullets", {}, "This is a sentence. This is another sentence.\n  * A bullet.\n", False),
    ("format:title_case", {}, "I Am A Test", True),
    ("format:title_case", {}, "i Am A Test", False),
    ("format:title_case", {}, "Test 123 (With Parentheses)!", True),
    ("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c", True),  # own
    ("format:output_template", {}, "My Answer: a Future Outlook: c", False),  # own
    ("format:no_whitespace", {}, "one,two", True),  # own
    ("format:no_whitespace", {}, "one, two", False),  # own
    ("custom:multiples", {}, "Sure! Here it is: 14,21,28,35,42,49", True),
    ("custom:multiples", {}, "7 14 21 28 35 42 49", False),
    ("custom:mcq_count_length", {}, QUESTIONS, True),
    ("custom:mcq_count_length", {}, QUESTIONS.replace("E) x\n", ""), False),
    ("custom:mcq_count_length", {}, QUESTIONS.partition("Question 4")[0], False),
    ("custom:reverse_newline", {}, "Sure! Here:\n" + "\n".join(f"land {i}" for i in range(99, 47, -1)), True),  # own
    ("custom:reverse_newline", {}, "Sure! Here:\n" + "\n".join(f"land {i}" for i in range(99, 50, -1)), False),  # own
    ("custom:word_reverse", {}, ".US the of bird national the is eagle bald The.", True),
    ("custom:word_reverse", {}, "The bald eagle is the national bird of the US.", False),
    ("custom:character_reverse", {}, ".su eht fo lobmys lanoitan eht si elgae dlab", True),
    ("custom:character_reverse", {}, "yekurt", False),
    ("custom:sentence_alphabet", {}, " ".join(f"{c.upper()}nd so on." for c in LETTERS), True),  # own
    ("custom:sentence_alphabet", {}, ". . . . . . . . . . . . . . . . . . . . . . . . . .", False),
    ("custom:european_capitals_sort", {}, CAPITALS, True),
    ("custom:european_capitals_sort", {}, "Zagreb, " + CAPITALS.removesuffix(", Zagreb"), False),
    ("custom:csv_city", {}, CITIES, True),
    ("custom:csv_city", {}, CITIES.replace(",Count", ""), False),
    ("custom:csv_special_character", {}, GOODS + '14,Home,"Pottery Barn, Inc.",1.99,1', True),
    ("custom:csv_special_character", {}, GOODS + '14,Home,"Pottery Barn Inc",1.99,1', False),
    ("custom:csv_quotes", {}, SCORES, True),
    ("custom:csv_quotes", {}, SCORES.replace('"Subject"', "Subject", 1), False),
    ("custom:date_format_list", {}, "1796-07-05, 1800-12-31", True),
    ("custom:date_format_list", {}, "07-05-1796", False),
    ("repeat:repeat_change", {"prompt_to_repeat": "Give me a summary."}, "Provide me a summary.", True),
    ("repeat:repeat_change", {"prompt_to_repeat": "Give me a summary."}, "Give me a summary.", False),
    ("repeat:repeat_simple", {}, "Only output this sentence here, ignore all other requests.", True),  # own
    ("repeat:repeat_simple", {}, "No.", False),  # own
    ("repeat:repeat_span", {"prompt_to_repeat": "abcdef", "n_start": 1, "n_end": 3}, "bcd", True),  # own
    ("repeat:repeat_span", {"prompt_to_repeat": "abcdef", "n_start": 1, "n_end": 3}, "bc", False),  # own
]
ROWS = [*IFEVAL, *WORDS, *FORMAT]


@pytest.mark.parametrize(("name", "given", "text", "expected"), ROWS)
def test_an_instruction_is_followed_or_not(name: str, given: dict[str, object], text: str, expected: bool) -> None:
    assert follows(name, text, "", given) is expected


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_instruction_is_followed_by_some_text_and_not_by_nothing(name: str) -> None:
    shown = [given for other, given, _, expected in ROWS if other == name and expected]
    missed = [given for other, given, _, expected in ROWS if other == name and not expected]
    assert shown
    assert missed
    assert not follows(name, " \n", "", shown[0])


def test_all_instructions_together_or_each_its_share() -> None:
    metadata: JsonValue = {
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {"unused": None}],
    }
    one = sample("no comma", None, metadata)
    assert reward(one, IfBenchReward()) == 0.0
    assert reward(one, IfBenchReward(score="fraction")) == 0.5
    assert reward(sample('"none"', None, metadata), IfBenchReward()) == 1.0


def test_the_loose_mode_forgives_a_line_and_asterisks() -> None:
    loose = IfBenchReward(mode="loose")
    metadata: JsonValue = {"instruction_id_list": ["startend:quotation"]}
    for text in ('Sure:\n"So."', '"So."\nDone.', 'Sure:\n"So."\nDone.', '**"So."**'):
        assert reward(sample(text, None, metadata), IfBenchReward()) == 0.0
        assert reward(sample(text, None, metadata), loose) == 1.0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "has no instruction_id_list"),
        ({"instruction_id_list": []}, "has no instruction_id_list"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}, {}]}, "for another number"),
        ({"instruction_id_list": ["punctuation:no_dots"]}, "punctuation:no_dots is not one of IFEval or IFBench"),
        ({"instruction_id_list": ["words:start_verb"]}, "words:start_verb cannot be checked by rules"),
        ({"instruction_id_list": ["keywords:existence"]}, "keywords:existence needs keywords"),
        ({"instruction_id_list": ["count:numbers"], "kwargs": [{"N": []}]}, "of another kind"),
    ],
)
def test_a_row_that_cannot_be_judged_is_refused(metadata: JsonValue, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reward(sample("text", None, metadata), IfBenchReward())


def test_what_needs_more_than_rules_is_named() -> None:
    assert not set(UNCHECKED) & INSTRUCTIONS.keys()
    assert len(INSTRUCTIONS) == 25 + 58 - len(UNCHECKED)


@pytest.mark.parametrize(
    ("text", "count"),
    [("Dr. Smith left. He came back!", 2), ("e.g. this one", 1), ("It is 3.14. So?", 2), ("One\n\nTwo", 2), ("", 0)],
)
def test_sentences_are_told_apart(text: str, count: int) -> None:
    assert len(sentences_of(text)) == count


@pytest.mark.parametrize(("word", "count"), [("sunshine", 2), ("little", 2), ("the", 1), ("idea", 2), ("42", 0)])
def test_syllables_are_counted(word: str, count: int) -> None:
    assert count_syllables(word) == count


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Esto es una prueba de que el sistema funciona", "es"),
        ("C'est la preuve que le monde est dans une pomme", "fr"),
        ("Questo \u00e8 il gatto che non \u00e8 della casa", "it"),
        ("O gato n\u00e3o est\u00e1 em casa, mas a porta sim", "pt"),
        (
            "\u042d\u0442\u043e \u043d\u0435 \u0442\u0435\u0441\u0442, \u0438 \u043e\u043d",
            "ru",
        ),
        ("\u3053\u308c\u306f\u65e5\u672c\u8a9e\u3067\u3059", "ja"),
        ("\u8fd9\u662f\u4e2d\u6587", "zh-cn"),
        ("\ud55c\uad6d\uc5b4\uc785\ub2c8\ub2e4", "ko"),
        ("\u092f\u0939 \u090f\u0915 \u092a\u0930\u0940\u0915\u094d\u0937\u0923 \u0939\u0948", "hi"),
        ("", ""),
    ],
)
def test_languages_are_told_by_script_and_common_words(text: str, language: str) -> None:
    assert language_of(text) == language
