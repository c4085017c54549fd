"""The language of a text, by its script and, in the Latin, Cyrillic and Arabic scripts, by its commonest words.

It knows the languages that IFEval asks for.  What it cannot tell, such as a single word, it takes for English where
the script is Latin.  It is a rule and not a trained model: on two sentences or more the two rarely differ.
"""

from __future__ import annotations

import re
from collections import Counter

_SCRIPTS = {
    "ko": "\uac00-\ud7a3",
    "ja": "\u3040-\u30ff",
    "zh-cn": "\u4e00-\u9fff",
    "th": "\u0e00-\u0e7f",
    "bn": "\u0980-\u09ff",
    "gu": "\u0a80-\u0aff",
    "kn": "\u0c80-\u0cff",
    "pa": "\u0a00-\u0a7f",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "ml": "\u0d00-\u0d7f",
    "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
    "devanagari": "\u0900-\u097f",
    "cyrillic": "\u0400-\u04ff",
    "arabic": "\u0600-\u06ff",
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
}
_COUNTS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_COMMON: dict[str, dict[str, str]] = {
    "latin": {
        "en": "the and of to in is that it for was on are as with his "
        "they be at this have from or had by not but what "
        "all were when we there can an your which their if will each about how up out them then she so some would "
        "into has more her two like him see time could no make than first been its who now my i you",
        "de": "der die und in den von zu das mit sich des auf ist im dem nicht ein eine als auch es an werden aus er "
        "hat dass sie nach wird bei einer um am sind noch wie einem einen so zum war haben nur oder aber vor zur ich",
        "es": "de la que el en y a los se del las un por con no una su para es al lo como m\u00e1s pero sus le ya o "
        "este s\u00ed porque esta entre cuando muy sin sobre tambi\u00e9n me hasta hay donde quien desde todo nos",
        "fr": "de la le et les des en un du une que est pour qui dans a "
        "par plus pas au sur ne se ce il sont avec son "
        "je vous nous cette mais ou comme elle leur y aux deux m\u00eame ces o\u00f9 tout \u00eatre",
        "it": "di e il la che in a per un del non sono le una i con si da come io ma lo ha al pi\u00f9 o se della "
        "dei nel alla anche gli ho questo sua delle mi cosa",
        "pt": "de a o que e do da em um para \u00e9 com n\u00e3o uma os no se na por mais as dos como mas foi ao ele "
        "das tem \u00e0 seu sua ou ser quando muito h\u00e1 nos j\u00e1 est\u00e1 eu tamb\u00e9m s\u00f3 pelo",
        "nl": "de het een en van ik te dat die in je niet zijn is was op aan met als voor had er maar om hem dan zou "
        "wat mijn men dit zo door over ze zich bij ook tot",
        "vi": "v\u00e0 c\u1ee7a l\u00e0 c\u00f3 kh\u00f4ng cho m\u1ed9t trong \u0111\u01b0\u1ee3c v\u1edbi c\u00e1c "
        "nh\u1eefng \u0111\u00e3 n\u00e0y t\u00f4i ng\u01b0\u1eddi khi \u0111\u1ec3 v\u1ec1 nh\u01b0",
        "fi": "ja on ei se ett\u00e4 h\u00e4n oli mutta ovat kun niin my\u00f6s sen joka kuin vain tai n\u00e4in jos "
        "min\u00e4 sin\u00e4 me ovatko t\u00e4m\u00e4",
        "sw": "na ya wa kwa ni katika la za kuwa hii cha si hiyo huo watu kama yake wake lakini hata pia kila sana",
        "pl": "i w nie na si\u0119 z do to \u017ce jest o jak a po co tak ale za od przez dla jego przy jeszcze czy "
        "tylko tym by\u0142 ich kt\u00f3re",
        "tr": "bir ve bu de da i\u00e7in ile \u00e7ok daha gibi ne o var kadar sonra olarak ama ben mi en olan her",
    },
    "cyrillic": {
        "ru": "\u0438 \u0432 \u043d\u0435 \u043d\u0430 \u0447\u0442\u043e "
        "\u044f \u0441 \u043e\u043d \u043a\u0430\u043a "
        "\u044d\u0442\u043e \u043f\u043e \u043d\u043e \u0438\u0437 \u043a \u0443 \u0436\u0435 \u043e\u043d\u0438 "
        "\u0431\u044b\u043b\u043e \u0434\u043b\u044f \u0442\u0430\u043a \u0438\u043b\u0438",
        "bg": "\u0438 \u0432 \u043d\u0430 \u0434\u0430 \u0441\u0435 \u043e\u0442 \u0437\u0430 \u0435 \u0441\u0430 "
        "\u0441 \u043d\u0435 \u043f\u043e \u043a\u043e\u0435\u0442\u043e "
        "\u043a\u0430\u0442\u043e \u0442\u043e\u0432\u0430 "
        "\u043d\u043e \u0441\u044a\u043c \u0449\u0435",
        "uk": "\u0456 \u0432 \u043d\u0435 \u043d\u0430 \u0449\u043e "
        "\u0437 \u0434\u043e \u0446\u0435 \u0432\u0456\u043d "
        "\u0430 \u044f \u0442\u0430 \u044f\u043a \u0457\u0445 \u0454 \u0432\u043e\u043d\u0438 \u0434\u043b\u044f",
    },
    "arabic": {
        "ar": "\u0641\u064a \u0645\u0646 \u0639\u0644\u0649 \u0623\u0646 \u0625\u0644\u0649 \u0647\u0630\u0627 "
        "\u0627\u0644\u062a\u064a \u0639\u0646 \u0645\u0627 \u0644\u0627 \u0647\u0630\u0647 "
        "\u0630\u0644\u0643 \u0643\u0627\u0646",
        "fa": "\u0648 \u062f\u0631 \u0628\u0647 \u0627\u0632 \u06a9\u0647 "
        "\u0627\u06cc\u0646 \u0631\u0627 \u0628\u0627 "
        "\u0627\u0633\u062a \u0628\u0631\u0627\u06cc \u0622\u0646 \u0645\u06cc \u06cc\u06a9",
        "ur": "\u06a9\u06d2 \u0645\u06cc\u06ba \u06a9\u06cc \u06c1\u06d2 "
        "\u0627\u0648\u0631 \u0633\u06d2 \u06a9\u0627 "
        "\u06a9\u0648 \u06c1\u06cc\u06ba \u067e\u0631 \u0646\u06d2 \u06cc\u06c1",
    },
    "devanagari": {
        "hi": "\u0939\u0948 \u0915\u0947 \u092e\u0947\u0902 \u0915\u0940 \u0915\u093e \u0914\u0930 \u0938\u0947 "
        "\u0939\u0948\u0902 \u0915\u094b \u092a\u0930 \u092f\u0939 \u0928\u0939\u0940\u0902 \u0925\u093e",
        "mr": "\u0906\u0939\u0947 \u0906\u0923\u093f \u092f\u093e \u0924\u0947 \u0939\u0947 \u0939\u093e "
        "\u0928\u093e\u0939\u0940 \u0915\u093e \u0939\u094b\u0924\u0947 \u091a\u094d\u092f\u093e",
        "ne": "\u091b \u0930 \u0915\u094b \u092e\u093e \u0932\u0947 \u0939\u094b \u0928\u0947\u092a\u093e\u0932 "
        "\u092a\u0928\u093f \u0917\u0930\u094d\u0928 \u092f\u094b \u091b\u0928\u094d",
    },
}
_DEFAULTS = {"latin": "en", "cyrillic": "ru", "arabic": "ar", "devanagari": "hi"}
_WORDS = {script: {code: frozenset(text.split()) for code, text in known.items()} for script, known in _COMMON.items()}


def language_of(text: str) -> str:
    """Return the language as ISO 639-1 (`zh-cn` for Chinese), or nothing for a text without letters."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _COUNTS.items()}
    script = max(counts, key=lambda name: counts[name])
    if counts[script] == 0:
        return ""
    if script == "zh-cn" and counts["ja"] * 10 > counts["zh-cn"]:
        return "ja"
    if script not in _WORDS:
        return script
    words = Counter(re.findall(r"[^\W\d_]+(?:[\u0900-\u097f]+)?", text.lower()))
    if script == "devanagari":
        words = Counter(re.findall(r"[\u0900-\u097f]+", text))
    known = _WORDS[script]
    scores = {code: sum(count for word, count in words.items() if word in common) for code, common in known.items()}
    best = max(scores, key=lambda code: scores[code])
    return best if scores[best] else _DEFAULTS[script]
