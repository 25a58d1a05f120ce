"""The five translations: views of the English notebooks, in which the prose alone differs."""

import json
import re
import shutil
import sys

import catalogues
import polib
import pytest
import stamp
import translated
import translation_rules
import translations
from repository import ROOT, run

# Every message has to be translated and none may be fuzzy: at the head of main, not while a translation is on its way.
COMPLETE = True
NAMES = catalogues.notebook_names()


@pytest.fixture(scope="module", params=catalogues.LANGUAGES)
def language(request):
    """A language's code, such as zh_CN."""
    return request.param


@pytest.fixture(scope="module")
def messages(language):
    """The messages that are translated, of every catalogue: [(name, entry)]."""
    return [
        (name, entry)
        for name in catalogues.names()
        for entry in catalogues.read_catalogue(language, name)
        if catalogues.done(entry)
    ]


def notebook(*parts):
    return json.loads(ROOT.joinpath("notebooks", *parts).with_suffix(".ipynb").read_text(encoding="utf-8"))


def text(cell):
    return "".join(cell["source"])


def prose(notebook):
    return "\n\n".join(text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def kept(cell):
    """Return what a translated notebook has of an English cell: all of it, but prose and outputs."""
    return cell["cell_type"], cell["id"], cell["metadata"], cell["cell_type"] == "code" and text(cell)


def broken_rules(language, english, translation, context=None):
    message = (language, context, english, translation)
    return translation_rules.problems(*message) + translation_rules.missing_terms(*message)


# what is generated


def test_catalogues_have_the_messages_of_the_english(language):
    for name in catalogues.names():
        catalogue = catalogues.read_catalogue(language, name)
        found = [(entry.msgctxt, entry.msgid) for entry in catalogue if not entry.obsolete]
        assert found == catalogues.read_english(name), "run make translations"


def test_files_are_what_the_catalogues_make(language):
    for path, made in translations.generated(language).items():
        assert path.read_text(encoding="utf-8") == made, "run make translations"
    assert {path.stem for path in (ROOT / "notebooks" / language).glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_code_is_the_english_byte_for_byte(language, name):
    english, other = notebook(name), notebook(language, name)
    assert list(map(kept, other["cells"])) == list(map(kept, english["cells"]))
    results = [(cell["outputs"], cell["execution_count"]) for cell in other["cells"] if cell["cell_type"] == "code"]
    assert all(result == ([], None) for result in results)
    assert other["metadata"]["language"] == language.replace("_", "-")


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere_and_stay_in_the_language_and_headings_are_unique(language, name):
    found = prose(notebook(language, name))
    links = [link.partition("#")[0] for link in translated.LINK.findall(found)]
    assert not [link for link in links if not (ROOT / "notebooks" / language / link).exists()]
    assert not [link for link in links if link.startswith("../") and link[3:-6] in NAMES]
    headings = re.findall(r"^#+ .*", found, re.MULTILINE)
    assert len(set(headings)) == len(headings)


def test_readme_leads_to_the_notebooks_of_its_language(language):
    readme = (ROOT / f"README.{language}.md").read_text(encoding="utf-8")
    links = translated.LINK.findall(readme)
    assert not [link for link in links if not (ROOT / link).exists()]
    assert {f"notebooks/{language}/{name}.ipynb" for name in NAMES} <= set(links)
    others = {f"README.{code}.md" for code in catalogues.LANGUAGES if code != language} | {"README.md"}
    assert others <= set(links) and "python tools/" not in readme


def test_badges_of_a_readme_open_the_notebooks_of_its_language(monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text(stamp.stamp(ROOT / "README.md", "someone/nin"), encoding="utf-8")
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    for module in (catalogues, translated):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    readme = translated.readme_in("fr", {})
    for link in (
        "https://mybinder.org/v2/gh/someone/nin/main?urlpath=lab/tree/notebooks/fr)",
        "https://colab.research.google.com/github/someone/nin/blob/main/notebooks/fr/03_training.ipynb)",
        "https://colab.research.google.com/github/someone/nin/blob/main/notebooks/11_speed.ipynb)",
        "(https://someone.github.io/nin/fr/)",
    ):
        assert link in readme


# what is translated


def test_every_message_is_translated_and_none_fuzzy(language):
    if not COMPLETE:
        pytest.skip("the translations are on their way")
    assert translations.todo(language) == []


def test_messages_keep_what_the_english_has_and_the_glossary_says(language, messages):
    wrong = {
        f"{name} {key}: {problem}"
        for name, entry in messages
        for key in [catalogues.key_of(entry.msgctxt, entry.msgid)]
        for part in translation_rules.check(language, key, entry.msgctxt, entry.msgid, entry.msgstr)
        for problem in part
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_no_sentence_was_left_in_english(language, messages):
    found = [(entry.msgctxt, entry.msgid, entry.msgstr) for _, entry in messages]
    if not found:
        pytest.skip("nothing is translated yet")
    share, words = translation_rules.english_share(language, found)
    assert share < 0.03, words.most_common(20)


def test_exceptions_are_needed(language, messages):
    """One that excuses nothing is to be taken out."""
    for code, key, what, _ in translation_rules.tables("Exceptions"):
        entries = [entry for _, entry in messages if catalogues.key_of(entry.msgctxt, entry.msgid) == key]
        for entry in entries if code == language else []:
            broken = broken_rules(language, entry.msgid, entry.msgstr, entry.msgctxt)
            assert [problem for problem in broken if problem.startswith(what)], (key, what)


# a changed English


@pytest.fixture
def copy(tmp_path):
    """A copy of what `make translations` reads, and a function that runs the tool there."""
    for name in ("tools", "locale", "notebooks", "site"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("runs", ".*", "__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)

    return tmp_path, lambda *arguments: run(sys.executable, str(tmp_path / "tools" / "translations.py"), *arguments)


def short_paragraph():
    """Return a paragraph of notebook 1 that is one line of it."""
    blocks = prose(notebook("01_nin_block")).split("\n\n")
    return next(block for block in blocks if re.fullmatch(r"[A-Z][^\n`\"]{50,}\.", block))


def test_a_changed_paragraph_is_fuzzy_in_five_languages_and_shows_as_english(copy):
    folder, tool = copy
    before = short_paragraph()
    after = before[:-1] + ", as you see."
    paths = {code: folder / "locale" / code / "01_nin_block.po" for code in catalogues.LANGUAGES}
    for path in paths.values():
        catalogue = polib.pofile(str(path), wrapwidth=120)
        catalogue.find(before).msgstr = "TRANSLATED"
        catalogue.save(str(path))
    assert tool().returncode == 0
    states = {path: state(polib.pofile(str(path))) for path in folder.glob("locale/*/*.po")}
    english = folder / "notebooks" / "01_nin_block.ipynb"
    english.write_text(english.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    assert tool().returncode == 0
    for path, entries in states.items():
        changed = (after, "TRANSLATED", True, False)
        wanted = [changed if path in paths.values() and entry[0] == before else entry for entry in entries]
        assert state(polib.pofile(str(path))) == wanted
    for code, path in paths.items():
        assert polib.pofile(str(path)).find(after).previous_msgid == before
        shown = (folder / "notebooks" / code / "01_nin_block.ipynb").read_text(encoding="utf-8")
        assert f"[English] {after}" in shown and "TRANSLATED" not in shown


def state(catalogue):
    """Return [(English, translation, fuzzy, obsolete)] of a catalogue."""
    return [(entry.msgid, entry.msgstr, entry.fuzzy, bool(entry.obsolete)) for entry in catalogue]


def catalogue_of(translations):
    """Return a catalogue of {English: translation}."""
    catalogue = polib.POFile()
    catalogue.extend(polib.POEntry(msgid=english, msgstr=text) for english, text in translations.items())
    return catalogue


def test_what_is_new_is_empty_or_as_it_is_elsewhere_and_what_is_gone_obsolete():
    old = catalogue_of({"The first paragraph.": "un", "Something else altogether": "deux"})
    english = [(None, text) for text in ("New words here", "The first paragraph.", "Task.")]
    assert state(catalogues.merge(old, english, {(None, "Task."): "Tâche."})) == [
        ("New words here", "", False, False),
        ("The first paragraph.", "un", False, False),
        ("Task.", "Tâche.", False, False),
        ("Something else altogether", "deux", False, True),
    ]


def test_a_message_that_is_as_it_was_before_has_its_translation_back():
    before = "One two three."
    merged = catalogue_of({before: "un"})
    for changed in ("One two three four.", "One two three five."):
        merged = catalogues.merge(merged, [(None, changed)])
        assert merged[0].fuzzy and merged[0].previous_msgid == before, "what the translation was made from"
    assert state(catalogues.merge(merged, [(None, before)])) == [(before, "un", False, False)]


# messages


def test_a_text_is_cut_into_blocks_and_put_together_again():
    source = (
        "## A heading\n\nA paragraph on\ntwo lines.\n\n- one\n  item\n- two\n\n$$x^2$$\n\n"
        "<details><summary>Hint</summary>\n\nFolded.\n</details>\n\n"
        "| a table | b |\n|---|---|\n| 1 | `code` |\n\n```sh\nmake site\n\nmake it\n```\n\n"
        "    make code\n    make more\n\n```{only} published\nNow.\n```\n\nAnd then.\n\n```{toctree}\nx\n```\n"
    )
    found = catalogues.messages(source)
    assert found == [
        "## A heading",
        "A paragraph on two lines.",
        "- one item\n- two",
        "<details><summary>Hint</summary>",
        "Folded.",
        "| a table | b |\n|---|---|\n| 1 | `code` |",
        "Now.",
        "And then.",
    ]
    again = translated.translate(source, {(None, it): it.replace("Folded", "Plié") for it in found})
    assert again == source.replace("Folded", "Plié").replace("on\ntwo", "on two").replace("one\n  item", "one item")


def test_english_is_marked_and_stays_what_it_is():
    source = "# Title\n\n- an item\n\nText.\n\n<details><summary>Hint</summary>"
    assert translated.translate(source, {}) == (
        "# [English] Title\n\n[English]\n\n- an item\n\n[English] Text.\n\n<details><summary>[English] Hint</summary>"
    )


def test_fill_takes_what_keeps_the_rules(copy):
    folder, tool = copy
    items = [
        {"english": "## The data", "translation": "## Les données"},
        {"english": "## The data", "translation": "# Les données"},
        {"english": "There is no such text", "translation": "Rien"},
    ]
    (folder / "new.json").write_text(json.dumps(items), encoding="utf-8")
    result = tool("fill", "fr", str(folder / "new.json"))
    assert result.returncode == 1 and result.stdout.count("REFUSED") == 2 and "1 of 3 messages taken" in result.stdout
    assert "## Les données" in (folder / "locale" / "fr" / "03_training.po").read_text(encoding="utf-8")
    left = json.loads(tool("todo", "fr", "03").stdout)
    assert "## The data" not in [item["english"] for item in left]


def test_what_an_instrument_says_is_found():
    module = """
        const KEYS = { [word("bytes of output")]: "bytes" };
        const half = "not said", text = size ? "{n} pixels" : `${t("average")}: ${n}`;
        Object.keys(KEYS).map((name) => element("th", {}, t(name)));
    """
    assert translations.spoken(module) == ["bytes of output", "average", "{n} pixels"]


# rules

ENGLISH = "**Left.** Take 1,992,166 values, 0.88 % of `x`, in [notebook 4](04.ipynb): $k = 1$. Two *layers*."
RIGHT = {
    "fr": "**Gauche.** Prenez 1\u00a0992\u00a0166 valeurs, 0,88\u00a0% de `x`, dans le [notebook 4](04.ipynb)\u00a0: "
    "$k = 1$. Deux *couches*.",
    "ja": "**左**。`x` の 1,992,166 個の値、0.88 % を [ノートブック 4](04.ipynb) で取ります：$k = 1$。2 つの**層**。",
    "tr": "**Sol.** `x` değişkeninin %0,88'ini, 1.992.166 değeri alın, [not defteri 4](04.ipynb): $k = 1$. "
    "İki *katman*.",
    "id": "**Kiri.** Ambil 1.992.166 nilai, 0,88% dari `x`, di [notebook 4](04.ipynb): $k = 1$. Dua *lapisan*.",
    "zh_CN": "**左**。取 `x` 的 1,992,166 个值，即 0.88%，见[笔记本 4](04.ipynb)：$k = 1$。两个**层**。",
}


def test_a_good_translation_breaks_no_rule(language):
    assert broken_rules(language, ENGLISH, RIGHT[language]) == []


@pytest.mark.parametrize(
    ("code", "old", "new", "problem"),
    [
        ("fr", "`x`", "`y`", "inline code differ: 'x' missing; 'y' added"),
        ("fr", "04.ipynb", "05.ipynb", "links differ"),
        ("fr", "k = 1", "k = 2", "formulas differ"),
        ("fr", "0,88", "0,98", "numbers differ: 0.88 missing"),
        ("fr", "0,88", "88", "numbers differ: 0.88 missing"),
        ("fr", "Deux", "3", "numbers differ: 3 added"),
        ("fr", "**Gauche.**", "Gauche.", "0 words are bold, but 1 in English"),
        ("fr", "**Gauche.**", "**Gauche.", "a * is shown or closes too late"),
        ("fr", "*couches*", "couches", "0 words are in italics"),
        ("fr", "\u00a0%", " %", "style: no-break space"),
        ("fr", "*couches*", "*tranches*", "glossary: layer is couche"),
        ("fr", "Deux ", "\n\nDeux ", "its structure differs"),
        ("fr", "Deux ", "\nDeux ", "a line ends inside a paragraph"),
        ("ja", "**左**。", "**（左）**と", "a * is shown or closes too late"),
        ("ja", "の 1", "の1", "style: a half-width space"),
        ("ja", "値、", "値, ", "style: full-width punctuation"),
        ("ja", "値、", "値、 ", "style: no space next to full-width"),
        ("zh_CN", "两个**层**", "2 个**级**", "glossary: layer is 层"),
        ("id", "0,88%", "0,88 %", "style: 88% without space"),
        ("tr", "1.992.166", "1.992.167", "numbers differ: 1,992,166 missing"),
    ],
)
def test_a_broken_rule_is_named(code, old, new, problem):
    assert old in RIGHT[code]
    assert [it for it in broken_rules(code, ENGLISH, RIGHT[code].replace(old, new)) if it.startswith(problem)]


def test_numbers_are_read_as_each_language_writes_them():
    english = "2.5 million values, 64 × 64"
    assert broken_rules("zh_CN", english, "250 万个值，64 × 64", "alt") == []
    assert broken_rules("fr", english, "2,5 millions de valeurs, 64 × 64", "alt") == []
    assert broken_rules("fr", english, "25 millions de valeurs, 64 x 64", "alt") != []


def test_titles_of_works_need_no_translation():
    english = "[Very deep convolutional networks](https://arxiv.org/abs/1409.1556), a layer"
    assert broken_rules("fr", english, english.replace("a layer", "une couche")) == []


def test_english_left_in_a_translation_is_found(language):
    left = [(None, ENGLISH, "Which of the two is that, and how does it learn from what you have in the layers?")]
    assert translation_rules.english_share(language, left)[0] > 0.03
    assert translation_rules.english_share(language, [(None, ENGLISH, RIGHT[language])])[0] < 0.03
