"""Fetches the vendored assets anew from the npm registry and writes their manifest: `just vendor`."""

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

STATIC = Path(__file__).parent / "static" / "vendor"
PACKAGES = {
    "swagger-ui": (
        "swagger-ui-dist@5.35.0",
        "Apache-2.0",
        ("swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE"),
    ),
}


def main() -> None:
    """Fetch every package, take its files, and write down what they are."""
    manifest = {}
    for folder, (package, licence, files) in PACKAGES.items():
        target = STATIC / folder
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            command = ["npm", "pack", "--silent", "--pack-destination", place, package]
            name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            with tarfile.open(Path(place) / name) as archive:
                for file in files:
                    content = archive.extractfile(f"package/{file}")
                    if content is None:
                        raise FileNotFoundError(file)
                    (target / file).write_bytes(content.read())
        hashes = {file: hashlib.sha256((target / file).read_bytes()).hexdigest() for file in files}
        manifest[folder] = {"package": package, "licence": licence, "sha256": hashes}
    (STATIC / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
