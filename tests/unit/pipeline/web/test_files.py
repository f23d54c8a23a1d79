"""The files that browsers load: how small the tracker is, and how they are cached."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from pipeline.web import files, tracker
from pipeline.web.stored import MOST_IDS, read_ids

WEB = Path(__file__).parents[4] / "pipeline" / "web"
MOST_GZIPPED_BYTES = 3_000


def test_the_tracker_is_small() -> None:
    script = tracker.script()
    assert len(script.compressed) <= MOST_GZIPPED_BYTES
    assert gzip.decompress(script.compressed) == script.plain


def test_the_tracker_loads_nothing_and_makes_no_code_of_text() -> None:
    source = tracker.script().plain.decode()
    assert not re.findall(r"\b(import|require|eval|Function|innerHTML|document\.write)\b", source)


def test_the_types_name_all_that_the_tracker_offers() -> None:
    source = (WEB / "tracker.js").read_text(encoding="utf-8")
    types = (WEB / "tracker.d.ts").read_text(encoding="utf-8")
    offered = re.search(r"const tidemark = \{ (.*) \};", source)
    typed = types.partition("export interface Tidemark {")[2].partition("\n}")[0]
    assert offered is not None
    assert re.findall(r"^  (\w+)\(", typed, re.MULTILINE) == offered[1].split(", ")


def test_comments_on_lines_of_their_own_are_left_out_and_nothing_else() -> None:
    source = '// why\nlet at = "http://x";  // stays\n\n  if (at)\n    // more\n    go(at);\n'
    assert files.without_comments(source) == 'let at = "http://x";  // stays\nif (at)\ngo(at);\n'


def test_spaces_that_mean_nothing_are_left_out_and_no_others() -> None:
    source = "const at = (one, two) => {\nreturn typeof one === `${two}`\n? one in two : 2 ** 3;\n};\n"
    assert files.without_spaces(source) == "const at=(one,two)=>{return typeof one===`${two}`?one in two:2**3};"


def test_the_tracker_has_no_space_that_means_something() -> None:
    lines = (WEB / "tracker.js").read_text(encoding="utf-8").splitlines()
    code = [line.strip() for line in lines if line.strip() and not line.strip().startswith("//")]
    texts = [text for line in code for text in re.findall(r'"[^"]*"|`[^`]*`', line)]
    assert texts
    assert [text for text in texts if " " in re.sub(r"\$\{[^}]*\}", "", text)] == []
    assert [line for line in code if re.search(r"[+-] [+-]|[^\s\w)\]} ] /[^/]* ", line)] == []
    # A line that ends in none of these would be joined with the next one.
    assert [line for line in code if not line.endswith((";", "{", "}", "(", ",", "=>", "&&", ")", "]"))] == []


@pytest.mark.parametrize("name", ["tracker.js", "demo/shop.js", "demo/panel.js"])
def test_no_text_of_ours_goes_over_several_lines(name: str) -> None:
    # The lines of such a text could be taken for comments.
    for line in (WEB / name).read_text(encoding="utf-8").splitlines():
        if not line.strip().startswith("//"):
            assert line.count("`") % 2 == 0, line


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
    ],
)
def test_gzip_goes_to_those_who_take_it(header: str, *, taken: bool) -> None:
    assert files.accepts_gzip(header) is taken


@pytest.mark.parametrize(
    ("header", "known"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False), ('"A"', False)],
)
def test_a_client_that_has_the_file_is_known_by_its_tag(header: str, *, known: bool) -> None:
    assert files.is_known('"a"', header) is known


def test_both_forms_of_a_file_have_tags_of_their_own() -> None:
    file = files.make(b"text", files.CSS)
    assert file.entity_tag(compressed=True) != file.entity_tag(compressed=False)
    assert file.tag != files.make(b"other text", files.CSS).tag


def test_the_shop_asks_for_ids_of_the_tracker_only() -> None:
    event_id = "019ac001-fb7b-7abc-8123-456789abcdef"
    assert {str(each): text for each, text in read_ids(event_id).items()} == {"6926e9fa8123456789abcdef": event_id}
    with pytest.raises(ValueError, match="'order-1' is no UUIDv7"):
        read_ids(f"{event_id},order-1")
    with pytest.raises(ValueError, match="1 to 100"):
        read_ids(",".join([event_id] * (MOST_IDS + 1)))
