"""What a translated message must keep of its English: links, code, formulas, numbers, structure, terms.

Messages are read by a CommonMark parser with tables and dollar formulas, as the pages are. The rules of style of each
language that can be tested are here too. The terms, and what is excepted, are in locale/glossary.md.
"""

import re
import unicodedata
from collections import Counter
from decimal import Decimal
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

GLOSSARY = Path(__file__).resolve().parent.parent / "locale" / "glossary.md"
PARSER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
NUMBER = re.compile(r"\d{1,3}(?:[\u00a0\u202f]\d{3})+(?:,\d+)?|\d+(?:[.,]\d+)*")
COMMA_LANGUAGES = ("tr", "id", "fr")  # 0,88 and 1.992.166, or 1 992 166
MULTIPLES = {"thousand": 3, "million": 6, "billion": 9, "万": 4, "亿": 8, "億": 8}
NUMBER_WORDS = {
    0: "zero no none nothing",
    0.5: "half",
    1: "one once first single only a an alone half third quarter tenth fourteenth twentieth fiftieth hundredth",
    1.5: "half",
    2: "two twice second both pair pairs half double other either",
    3: "three third",
    4: "four fourth quarter",
    5: "five fifth fivefold",
    6: "six sixth",
    7: "seven seventh",
    8: "eight eighth",
    9: "nine ninth",
    10: "ten tenth",
    11: "eleven",
    12: "twelve",
    13: "thirteen",
    14: "fourteen fourteenth",
    15: "fifteen quarter",
    16: "sixteen",
    18: "eighteen",
    20: "twenty twentieth",
    30: "thirty half",
    40: "forty",
    50: "fifty fiftieth",
    60: "sixty",
    64: "sixty-four",
    90: "ninety",
    100: "hundred hundredth",
    1000: "thousand",
    1000000: "million",
}
CJK = r"\u3041-\u30ff\u3400-\u9fff\u3005"
STYLE = {
    "fr": [
        (r" [:;!?%»]", "no-break space (U+00A0) before : ; ! ? % »"),
        (r"« ", "no-break space (U+00A0) after «"),
        (r"[^\W\d_][;!?»]|«\w", "no-break space (U+00A0) before ; ! ? » and after «"),
    ],
    "ja": [(r"(?<=[{0}])[,;:!?(]|\)(?=[{0}])", "full-width punctuation in sentences")],
    "zh_CN": [(r"(?<=[{0}])[,;:!?(.]|\)(?=[{0}])", "full-width punctuation in sentences")],
    "id": [(r"\d[ \u00a0]%", "88% without space")],
}
SPACING = (
    (r"(?<=[{0}])[A-Za-z0-9]|[A-Za-z0-9](?=[{0}])", "a half-width space between {1} and Latin letters or digits"),
    (
        r"(?<=[、。（）：？！「」，；“”]) (?![、。])|(?<! ) (?=[、。（）：？！「」，；])",
        "no space next to full-width punctuation",
    ),
)
COLUMNS = ("English", "tr", "ja", "id", "fr", "zh_CN")  # of the glossary
SPACED = {"ja": "Japanese", "zh_CN": "Chinese"}


class Parsed:
    """What a Markdown text is made of; counts are compared, `text` is what is read as prose."""

    def __init__(self, markdown):
        self.links, self.code, self.formulas, self.tags = Counter(), Counter(), Counter(), Counter()
        self.marks, self.open, self.structure, texts = Counter(), Counter(), [], []
        self.breaks, self.nested = 0, False
        for block in PARSER.parse(markdown):
            if block.nesting >= 0 and block.type != "inline":
                self.structure.append(block.tag or block.type)
            if block.type == "html_block":
                self.tags.update(re.findall(r"</?\w+[^>]*>", block.content))
                texts.append(re.sub(r"<[^>]*>", " ", block.content))
            for token in block.children or []:
                texts.append(self.inline(token))
            texts.append("\n")
        self.text = "".join(texts)

    def inline(self, token):
        """Note an inline token, and return what it adds to the prose."""
        if token.type == "link_open":
            self.links[token.attrs["href"]] += 1
        elif token.type == "image":
            self.links[token.attrs["src"]] += 1
            return token.content
        elif token.type == "code_inline":
            self.code[token.content] += 1
            return "`"
        elif token.type == "math_inline":
            self.formulas[token.content] += 1
            return "$"
        elif token.type == "html_inline":
            self.tags[token.content] += 1
        elif token.tag in ("strong", "em"):
            self.marks[token.tag] += token.nesting == 1
            self.open[token.tag] += token.nesting
            self.nested |= self.open[token.tag] > 1
        elif token.type == "softbreak":
            self.breaks += 1
            return " "
        return token.content if token.type == "text" else ""


def check(language, key, context, english, translation):
    """Return what is wrong with a translated message, as (what makes it useless, what the glossary says)."""
    excepted = [row[2] for row in tables("Exceptions") if row[0] == language and row[1] == key]
    found = problems(language, context, english, translation), missing_terms(language, context, english, translation)
    return tuple([problem for problem in part if not problem.startswith(tuple(excepted))] for part in found)


def problems(language, context, english, translation):
    """Return what a translated message does not keep of its English, or writes against the rules of its language."""
    if context:  # a figure's text, or words of a page: no Markdown
        found = [*wrong_numbers(language, english, translation), *wrong_style(language, translation)]
        before, after = (Counter(re.findall(r"\{\w+\}", text)) for text in (english, translation))
        return found + [f"what is filled in differs: {difference(before, after)}"] * (before != after)
    before, after = Parsed(english), Parsed(translation)
    found = [
        f"{what} differ: {difference(getattr(before, name), getattr(after, name))}"
        for what, name in (("links", "links"), ("inline code", "code"), ("formulas", "formulas"), ("HTML tags", "tags"))
        if getattr(before, name) != getattr(after, name)
    ]
    if before.structure != after.structure:
        found.append("its structure differs: the same headings, list items, table rows and cells as in English")
    if after.breaks:
        found.append("a line ends inside a paragraph: write each paragraph, item and row on one line")
    found += wrong_marks(language, before, after)
    return found + wrong_numbers(language, before.text, after.text) + wrong_style(language, after.text)


def difference(before, after):
    """Return in words how two counts differ."""
    lost, added = before - after, after - before
    parts = [f"{', '.join(map(repr, lost.elements()))} missing"] * bool(lost)
    return "; ".join(parts + [f"{', '.join(map(repr, added.elements()))} added"] * bool(added))


def wrong_marks(language, before, after):
    """Return what is wrong with bold and italics; Chinese and Japanese have only bold, Indonesian its own."""
    bold, italic = after.marks["strong"], after.marks["em"]
    found = []
    if after.text.count("*") > before.text.count("*") or after.nested:
        found.append(
            "a * is shown or closes too late: no space inside the marks, no closing ** between 。 or ） and a letter"
        )
    if language in SPACED:
        if not before.marks["strong"] <= bold + italic <= before.marks.total():
            found.append(f"{bold + italic} words are marked by *, but {before.marks.total()} in English")
        return found
    if bold != before.marks["strong"]:
        found.append(f"{bold} words are bold, but {before.marks['strong']} in English")
    if language != "id" and italic != before.marks["em"]:
        found.append(f"{italic} words are in italics, but {before.marks['em']} in English")
    return found


def wrong_numbers(language, english, translation):
    """Return which numbers were lost or added; a translation may write a number that is a word in English."""
    left = [readings(match, translation, language in COMMA_LANGUAGES) for match in NUMBER.finditer(translation)]
    lost = []
    for match in NUMBER.finditer(english):
        values = readings(match, english)
        found = next((reading for reading in left if values & reading), None)
        left.remove(found) if found else lost.append(match[0])
    words = set(re.findall(r"[a-z-]+", english.lower()))
    meant = {Decimal(value) for value, names in NUMBER_WORDS.items() if words & set(names.split())}
    added = [str(min(reading)) for reading in left if not reading & meant]
    both = [("missing", lost), ("added", added)]
    return [f"numbers differ: {', '.join(numbers)} {what}" for what, numbers in both if numbers]


def readings(match, text, comma=False):
    """Return the values that a number in a text can have: as in English and, if `comma`, with a decimal comma."""
    number = re.sub(r"[\u00a0\u202f]", "", match[0])
    forms = [number.replace(",", "")] + [number.replace(".", "").replace(",", ".")] * comma
    values = {Decimal(form) for form in forms if form.count(".") < 2}
    following = re.match(r"\s*(thousand|million|billion|[万亿億])?", text[match.end() :])[1]
    return values | {value.scaleb(MULTIPLES[following]) for value in values if following}


def wrong_style(language, text):
    """Return what is written against the rules of the language."""
    rules = [*STYLE.get(language, []), *(SPACING if language in SPACED else []), (r"\d x \d", "×, not the letter x")]
    found = []
    for pattern, rule in rules:
        match = re.search(pattern.replace("{0}", CJK), text)
        if match:
            excerpt = text[max(0, match.start() - 12) : match.end() + 12]
            found.append(f"style: {rule.replace('{1}', SPACED.get(language, ''))}: …{excerpt}…")
    return found


# what was left in English

FUNCTION_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        "the of and is that with which are this was were by from it its how what when have be each they their than "
        "them where between same so for in to an as does only more would can you your",
    )
)


def english_share(language, messages):
    """Return which share of the words is English, of messages given as [(context, English, translation)].

    In Chinese and Japanese: which Latin words are neither names nor the glossary's; two characters count as one word.
    Elsewhere: how often the words stand that hold an English sentence together, for one in the English itself.
    """
    if language in SPACED:
        text = " ".join(without_titles(*message)[1] for message in messages)
        known = {word for _, words in terms(language) for term in words for word in term.lower().split()}
        latin = [word for word in re.findall(r"(?<![\w.-])[a-z]{3,}(?![\w.-])", text) if word not in known]
        return len(latin) / max(1, len(latin) + len(re.findall(f"[{CJK}]", text)) / 2), Counter(latin)
    english, translation = (
        re.findall(r"[^\W\d_]+", " ".join(texts).lower()) for texts in zip(*(without_titles(*m) for m in messages))
    )
    found, usual = ([word for word in words if word in FUNCTION_WORDS] for words in (translation, english))
    return (len(found) / len(translation)) / (len(usual) / len(english)), Counter(found)


def without_titles(context, english, translation):
    """Return the prose of both, without the titles of works that stay English."""
    texts = [prose(context, english), prose(context, translation)]
    for title in set(titles(english)) & set(titles(translation)):
        texts = [text.replace(title, " ") for text in texts]
    return texts


# the glossary


@cache
def tables(heading):
    """Return the rows of the tables under a heading of the glossary, each as its cells."""
    section = re.split(r"^## ", GLOSSARY.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next((part for part in section if part.startswith(heading)), "")
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return [row for i, row in enumerate(rows) if not set(row[0]) <= set("-|") and not is_head(rows, i)]


def is_head(rows, i):
    """Say whether row i is the head of its table: dashes follow."""
    return i + 1 < len(rows) and set("".join(rows[i + 1])) <= set("-|")


@cache
def terms(language):
    """Return [(English term, words that may translate it)], longest first; no words for a phrase that is skipped."""
    found = {row[0]: [] for row in tables("Not looked for")}
    for row in tables("Terms"):
        for term, words in entries(row[0], row[COLUMNS.index(language)]):
            found[term] = found.get(term, []) + words
    for term, where, words, *_ in tables("Also right"):
        if where == language:
            found[term] += words.split(", ")
    found |= {row[0]: [] for row in tables("Not looked for")}
    return sorted(found.items(), key=lambda item: -len(item[0]))


def entries(english, translation):
    """Return [(term, its translations)] of a row; what is in brackets explains, `;` and `adj.` bring a variant.

    Two terms in one row have a translation each, or share one.
    """
    names = re.split(r" / |, ", english.split(" (")[0])
    words = re.sub(r"\s*[（(][^）)]*[）)]|adj\. ", "", translation)
    parts = re.split(r" / |, |、", words)
    if len(parts) != len(names):
        parts = [words] * len(names)
    return [(name, [variant.strip() for variant in re.split("[;；/]", part)]) for name, part in zip(names, parts)]


def missing_terms(language, context, english, translation):
    """Return the terms of the glossary that the English has and whose translation is missing."""
    before = without_titles(context, english, translation)[0].lower().replace("-", " ")
    after = fold(language, prose(context, translation))
    missing = []
    for term, words in terms(language):
        name = re.escape(term.lower().replace("-", " "))
        before, count = re.subn(rf"(?<!\w){name}(?:e?s)?(?!\w)", " ", before)
        if count and words and not any(has_words(language, word, after) for word in words):
            missing.append(f"glossary: {term} is {' or '.join(words)}")
    return missing


def prose(context, text):
    """Return the prose of a message; one with a context is prose as it is."""
    return text if context else Parsed(text).text


def titles(markdown):
    """Return what may be a work's title, which stays English: the texts of links, and what is emphasised."""
    return re.findall(r"(?<=\[)[^\]]+(?=\]\()|(?<=\*)[^*]+(?=\*)", markdown)


def fold(language, text):
    """Return the text for comparisons: without case, hyphens and, in Latin letters, without accents."""
    if language in SPACED:
        return text.lower()
    text = unicodedata.normalize("NFD", text.replace("ı", "i").lower())
    return "".join(letter for letter in text if not unicodedata.combining(letter)).replace("-", " ")


def has_words(language, words, text):
    """Say whether the text has the words, in any order, each with any ending, and in Indonesian any prefix."""
    if language in SPACED:
        return fold(language, words) in text
    start, least = (r"\w*", 4) if language == "id" else (r"(?<!\w)", 3)
    return all(re.search(start + re.escape(stem(word, least)), text) for word in fold(language, words).split())


def stem(word, least):
    """Return the beginning of a word that its inflected forms share, of at least so many letters."""
    return word[: max(least, round(0.65 * len(word)))]
