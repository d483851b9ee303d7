"""What browsers load: all of it ours, licensed, unchanged since it was built, and small."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from pynomaly_server.places import web_folder

STATIC = web_folder() / "static"
VENDOR = STATIC / "vendor"
TEMPLATES = sorted((web_folder() / "templates").rglob("*.html"))
MANIFEST = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
EVERY_PAGE = tuple(re.findall(r"asset\('([^']+)'\)", (web_folder() / "templates" / "base.html").read_text("utf-8")))
KB = 1_000
LARGEST_HTML = 25 * KB  # of a page, compressed; the gallery, which shows everything, is smaller
OPEN_LICENCES = {"MIT", "0BSD", "Apache-2.0", "BSD-3-Clause"}
# what a template's class may be without a style: scripts and tests find elements by these
HOOKS = {"is-number", "is-short", "is-flagged"}


def weight(*more: str) -> int:
    """The bytes that a page loads, compressed, with `more` than every page does."""
    return LARGEST_HTML + sum(len(gzip.compress((STATIC / path).read_bytes(), 6)) for path in {*EVERY_PAGE, *more})


def test_a_page_is_small() -> None:
    assert weight() < 100 * KB


def test_a_page_with_charts_is_not_large() -> None:
    assert weight("vendor/echarts/echarts.js") < 350 * KB


def test_the_sql_page_is_not_large() -> None:
    assert weight("vendor/codemirror/codemirror.js") < 200 * KB


def test_every_vendored_file_is_in_the_manifest_unchanged() -> None:
    listed = {
        f"{folder}/{name}": digest for folder, told in MANIFEST.items() for name, digest in told["sha256"].items()
    }
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == listed


@pytest.mark.parametrize("folder", MANIFEST)
def test_vendored_code_has_an_open_licence_and_its_text(folder: str) -> None:
    assert MANIFEST[folder]["licence"] in OPEN_LICENCES
    assert (VENDOR / folder / "LICENSE").stat().st_size > 100
    assert re.fullmatch(r".+@\d+\.\d+\.\d+", MANIFEST[folder]["package"])


@pytest.mark.parametrize("path", [*TEMPLATES, STATIC / "app.js", STATIC / "app.css", STATIC / "api-docs.js"], ids=str)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = re.sub(r"/\*!.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}", text) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_keep_the_policy(path: Path) -> None:
    text = re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)|\shx-on|\|\s*safe", text) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_what_it_needs(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("{# ")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_hx_get_sits_beside_an_address(path: Path) -> None:
    for tag in re.findall(r"<(?:a|form)\b[^>]*hx-(?:get|post)=[^>]*>", path.read_text(encoding="utf-8")):
        assert re.search(r"\s(href|action)=", tag), tag


def test_every_class_of_a_template_has_a_style() -> None:
    sheet = (STATIC / "app.css").read_text(encoding="utf-8")
    styled = {re.sub(r"\\(.)", r"\1", name) for name in re.findall(r"\.((?:[\w-]|\\.)+)", sheet)}
    for path in TEMPLATES:
        text = re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for classes in re.findall(r'\sclass="([^"{]*)"', text):
            missing = set(classes.split()) - styled - HOOKS
            assert not missing, f"{path.name}: {missing}; `just css` builds them, if Tailwind knows them"


def test_each_page_gives_its_form_a_token() -> None:
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        for form in re.findall(r'<form\b[^>]*method="post".*?</form>', text, flags=re.DOTALL):
            is_open = re.search(r'action="/(sign-in|theme)', form)
            assert is_open or "csrf" in form, f"{path.name}: {form[:80]}"
