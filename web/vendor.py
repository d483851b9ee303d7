"""Builds the assets anew from the npm registry and writes their manifest: `just vendor`; `just css` the styles alone.

`src/package.json` and its lock file say exactly what comes; node_modules stays out of the repository.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).parent
SOURCE = WEB / "src"
MODULES = SOURCE / "node_modules"
VENDOR = WEB / "static" / "vendor"

# folder: what it is made of, its licence, and the files that are taken as they are
TAKEN: dict[str, tuple[str, str, dict[str, str]]] = {
    "swagger-ui": (
        "swagger-ui-dist",
        "Apache-2.0",
        {
            name: name
            for name in (
                "swagger-ui-bundle.js",
                "swagger-ui-bundle.js.LICENSE.txt",
                "swagger-ui.css",
                "LICENSE",
                "NOTICE",
            )
        },
    ),
    "htmx": ("htmx.org", "0BSD", {"htmx.min.js": "dist/htmx.min.js", "LICENSE": "LICENSE"}),
    "htmx-ext-sse": ("htmx-ext-sse", "0BSD", {"sse.min.js": "dist/sse.min.js", "LICENSE": "LICENSE"}),
    "echarts": ("echarts", "Apache-2.0", {"LICENSE": "LICENSE", "NOTICE": "NOTICE"}),
    "codemirror": ("codemirror", "MIT", {"LICENSE": "LICENSE"}),
}
BUNDLED = ("echarts", "codemirror")  # from src/<name>.js to vendor/<name>/<name>.js


def main() -> None:
    """Fetch every package, take and bundle its files, write down what they are, and build the styles."""
    _install()
    shutil.rmtree(VENDOR, ignore_errors=True)
    manifest = {folder: _made(folder, *made) for folder, made in sorted(TAKEN.items())}
    (VENDOR / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    build_styles()


def build_styles() -> None:
    """The one sheet of styles, from its source and from the classes that templates and scripts name."""
    if not MODULES.is_dir():
        _install()
    source, target = SOURCE / "app.css", WEB / "static" / "app.css"
    _run("npx", "--no-install", "tailwindcss", "--input", str(source), "--output", str(target), "--minify")


def _install() -> None:
    """What the lock file says; `npm ci` would refuse a registry that lacks the binaries of other platforms."""
    _run("npm", "install", "--no-save", "--no-fund", "--no-audit", "--ignore-scripts")


def _made(folder: str, package: str, licence: str, files: dict[str, str]) -> dict[str, object]:
    target = VENDOR / folder
    target.mkdir(parents=True)
    for name, origin in files.items():
        shutil.copyfile(MODULES / package / origin, target / name)
    if folder in BUNDLED:
        _bundle(folder, target)
    described = json.loads((MODULES / package / "package.json").read_text(encoding="utf-8"))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(target.iterdir())}
    return {"package": f"{package}@{described['version']}", "licence": licence, "sha256": hashes}


def _bundle(name: str, target: Path) -> None:
    """One module with all that it imports, and the licences of everything that is inside."""
    with tempfile.TemporaryDirectory() as place:
        meta = Path(place) / "meta.json"
        _run(
            *("npx", "--no-install", "esbuild", f"{name}.js", "--bundle", "--minify", "--format=esm"),
            *("--target=es2022", "--legal-comments=inline", "--define:process.env.NODE_ENV='production'"),
            *(f"--outfile={target / name}.js", f"--metafile={meta}"),
        )
        inputs = json.loads(meta.read_text(encoding="utf-8"))["inputs"]
    inside = sorted({_package(path) for path in inputs if "node_modules/" in path})
    licences = (f"{package}\n\n{_licence(package)}\n" for package in inside)
    (target / f"{name}.js.LICENSE.txt").write_text(f"{'-' * 80}\n".join(licences), encoding="utf-8")


def _package(path: str) -> str:
    parts = path.rpartition("node_modules/")[2].split("/")
    return "/".join(parts[: 2 if parts[0].startswith("@") else 1])


def _licence(package: str) -> str:
    found = next(path for path in sorted((MODULES / package).iterdir()) if path.name.upper().startswith("LICEN"))
    return found.read_text(encoding="utf-8")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, cwd=SOURCE)


if __name__ == "__main__":
    build_styles() if sys.argv[1:] == ["styles"] else main()
