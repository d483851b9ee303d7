# the same recipes on every shell: python is the one of the active environment

# run everything a change must pass
default: test lint

# the fast tests, on all cores
test:
    python -m pytest -n auto --dist loadgroup -m "not slow and not browser" tests

# the console in Chromium
test-browser:
    python -m pytest -n auto --dist loadgroup -m "browser" tests/web

# every test, the slow ones and those in a browser included
test-all:
    python -m pytest -n auto --dist loadgroup tests

# style, formatting, types and the direction of imports
lint:
    python -m ruff check .
    python -m ruff format --check .
    python -m mypy
    python -m pytest -q tests/test_structure.py

# speed and accuracy beside the peers, in one run
bench *arguments:
    python -m benchmarks {{arguments}}

# speed with the cases that take minutes: 100 million rows on disk, a million rows' neighbours
bench-full *arguments:
    python -m benchmarks.speed --full {{arguments}}

# the newcomer's first look
quickstart:
    pynomaly quickstart

# the table of algorithms, from the registry
docs:
    python docs/generate.py
    python docs/features.py

# the vendored assets anew, with their hashes, and the styles
vendor:
    python web/vendor.py

# the styles alone, after a template names a class that they do not have yet
css:
    python web/vendor.py styles

# pictures of every page of the console, in both themes and at three widths; `just screenshots --readme` makes README's three
screenshots *arguments:
    python web/screenshots.py {{arguments}}
