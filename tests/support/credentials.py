"""Credentials that a process gives, as AWS's SDKs ask for them (`credential_process`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# They are refreshed for each request, since a refresh is due 10 minutes before they expire.
_GOOD = """
expires=$(date -u -d '20 seconds' +%Y-%m-%dT%H:%M:%SZ)
keys='"AccessKeyId": "test", "SecretAccessKey": "test", "SessionToken": "test"'
echo "{\\"Version\\": 1, $keys, \\"Expiration\\": \\"$expires\\"}"
"""
TROUBLES = {
    "garbage": "echo '<html>'",
    "nothing": "",
    "a list": "echo '[]'",
    "no keys": "echo '{\"Version\": 1}'",
    "another version": "echo '{\"Version\": 7}'",
    "no text": "printf '\\377\\376'",
    "failure": "echo 'first line' >&2; echo 'second line' >&2; exit 1",
    "expired": _GOOD.replace("20 seconds", "1 day ago"),
}


@dataclass(frozen=True)
class CredentialProcess:
    """A profile whose credentials come from a script in a folder."""

    folder: Path

    @classmethod
    def in_folder(cls, folder: Path) -> CredentialProcess:
        """Make one that works."""
        made = cls(folder)
        made.config.write_text(f"[default]\ncredential_process = {made.script}\n")
        made.runs(_GOOD)
        return made

    @property
    def script(self) -> Path:
        """What is run."""
        return self.folder / "credentials.sh"

    @property
    def config(self) -> Path:
        """The file with the profile."""
        return self.folder / "aws-config"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make it used, if those of other credentials are not there."""
        return {"AWS_CONFIG_FILE": str(self.config)}

    def runs(self, code: str) -> None:
        """Have the script run that code from now on."""
        new = self.script.with_suffix(".new")
        new.write_text(f"#!/bin/sh\n{code}\n")
        new.chmod(0o755)
        new.replace(self.script)

    @contextmanager
    def broken(self, trouble: str) -> Iterator[None]:
        """One of the troubles, or "missing", until the end."""
        if trouble == "missing":
            self.script.unlink()
        else:
            self.runs(TROUBLES[trouble])
        try:
            yield
        finally:
            self.runs(_GOOD)
