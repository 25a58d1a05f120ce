"""How the pages of a language are searched where Sphinx has no way to, or one that needs a dictionary."""

import re

import snowballstemmer
from sphinx.search import SearchLanguage

SEARCH = {"ja": "pairs", "zh_CN": "pairs", "id": "id"}  # the others have Sphinx's own
CJK = "\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\u3005"
RUN = re.compile(f"([{CJK}]+)|[^\\W{CJK}]+")


class SearchPairs(SearchLanguage):
    """Chinese and Japanese have no spaces: what is searched is each pair of neighbouring characters, as in Lucene.

    So a word is found wherever it stands, whatever it stands in, without a dictionary here or in the reader's browser.
    """

    lang, language_name = "pairs", "pairs of characters"
    js_splitter_code = f"""
var splitQuery = (query) =>
  [...query.matchAll(/([{CJK}]+)|(?:(?![{CJK}])[\\p{{L}}\\p{{N}}_])+/gu)].flatMap(([run, cjk]) =>
  !cjk || run.length == 1 ? [run] : [...run].slice(1).map((_, i) => run.slice(i, i + 2)));
"""

    def split(self, input):
        """Return the words of Latin letters, and the pairs of neighbouring characters, or one that stands alone."""
        found = []
        for run in RUN.finditer(input):
            pairs = [run[0][i : i + 2] for i in range(len(run[0]) - 1)]
            found += pairs if run[1] and pairs else [run[0]]
        return found

    def stem(self, word):
        """Return the word without capitals."""
        return word.lower()


class SearchIndonesian(SearchLanguage):
    """Indonesian by Snowball's stemmer, which Sphinx brings but does not offer."""

    lang, language_name = "id", "Indonesian"
    js_stemmer_rawcode = "indonesian-stemmer.js"
    stemmer = snowballstemmer.stemmer("indonesian")

    def stem(self, word):
        """Return the stem of a word."""
        return self.stemmer.stemWord(word.lower())


def add_search(app):
    """Make Sphinx know them."""
    for language in (SearchPairs, SearchIndonesian):
        app.add_search_language(language)
