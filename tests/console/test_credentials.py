"""Credentials, configurations and connections that can't be had: one line says what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path

import pytest

from tests.support.credentials import TROUBLES, CredentialProcess
from tests.support.programs import IMPORT_ITEMS, PILOT, ROOT, Finished, finish
from tests.support.warm import popen

CLOSED = "http://127.0.0.1:1"


@dataclass
class Home:
    """A user's home, as far as AWS looks at it, and a table at an address."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def config(self, text: str) -> None:
        """Write ~/.aws/config."""
        (self.folder / ".aws").mkdir(exist_ok=True)
        (self.folder / ".aws" / "config").write_text(text)
        self.environment["AWS_CONFIG_FILE"] = str(self.folder / ".aws" / "config")

    def without_keys(self) -> None:
        """Have no credentials in the environment."""
        self.environment |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def mfa(home: Home) -> None:
    home.without_keys()
    home.config(
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/pilots\nsource_profile = base\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
        "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )


def role_refused(home: Home) -> None:
    """The service that issues credentials can't be reached."""
    mfa(home)
    text = (home.folder / ".aws" / "config").read_text()
    home.config(text.replace("mfa_serial", "# "))
    home.environment["AWS_ENDPOINT_URL_STS"] = CLOSED


def process_missing(home: Home) -> None:
    home.without_keys()
    home.config("[default]\ncredential_process = /nonexistent/give-me-keys --now\n")


def process_not_executable(home: Home) -> None:
    home.without_keys()
    home.config("[default]\ncredential_process = /etc/passwd\n")


def process_unquoted(home: Home) -> None:
    home.without_keys()
    home.config("[default]\ncredential_process = sh -c 'echo\n")


SSO = (
    "[default]\nsso_account_id = 123456789012\nsso_role_name = pilots\n{}"
    "sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\n"
)
SSO_SESSION = SSO.replace("{}", "sso_session = me\n[sso-session me]\n")


def sso_never(home: Home) -> None:
    home.without_keys()
    home.config(SSO.format(""))


def sso_session_never(home: Home) -> None:
    home.without_keys()
    home.config(SSO_SESSION)


def sso_expired(home: Home) -> None:
    home.without_keys()
    home.config(SSO_SESSION)
    cache = home.folder / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    home.environment["HOME"] = str(home.folder)
    token = {"accessToken": "x", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-east-1"}
    (cache / f"{sha1(b'me').hexdigest()}.json").write_text(json.dumps(token))


def partial(home: Home) -> None:
    home.environment["AWS_SECRET_ACCESS_KEY"] = ""


def no_config(home: Home) -> None:
    home.config("this is no configuration\n")


def binary_config(home: Home) -> None:
    home.config("")
    Path(home.environment["AWS_CONFIG_FILE"]).write_bytes(b"\xff\xfe[default]\n")


def source_missing(home: Home) -> None:
    home.without_keys()
    home.config("[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = nobody\n")


def roles_in_a_circle(home: Home) -> None:
    home.without_keys()
    role = "role_arn = arn:aws:iam::123456789012:role/x\nsource_profile"
    home.config(f"[default]\n{role} = other\n[profile other]\n{role} = default\n")


def bad_region(home: Home) -> None:
    home.environment["AWS_REGION"] = "us east!"


def proxy_refuses(home: Home) -> None:
    home.environment |= {
        "AWS_ENDPOINT_URL_DYNAMODB": "http://dynamodb.example",
        "HTTP_PROXY": CLOSED,
        "AWS_MAX_ATTEMPTS": "1",
    }


CASES: Mapping[str, tuple[Callable[[Home], None], str]] = {
    "MFA": (mfa, r"no AWS credentials: .* MFA code, .* no terminal .*: set AWS_ACCESS_KEY_ID"),
    "role": (role_refused, r"no AWS credentials: .*http://127.0.0.1:1/.*: check the network"),
    "missing": (process_missing, r"no AWS credentials: .*/nonexistent/give-me-keys.*: check cr"),
    "no program": (process_not_executable, r"no AWS credentials: .*/etc/passwd.*: check cred"),
    "unquoted": (process_unquoted, r"no AWS credentials: .*credential_process"),
    "SSO": (sso_never, r"no AWS credentials: .*SSO.*: run aws sso login"),
    "SSO session": (sso_session_never, r"no AWS credentials: .*: run aws sso login"),
    "SSO expired": (sso_expired, r"no AWS credentials: .*expired.*: run aws sso login"),
    "half of a key": (partial, r"no AWS credentials: .*AWS_SECRET_ACCESS_KEY.*: give --profile"),
    "no config": (no_config, r"the AWS configuration can't be used: .*\.aws/config"),
    "binary config": (binary_config, r"the AWS configuration can't be used: .*\.aws/config"),
    "source": (source_missing, r"no AWS credentials: .*nobody.*: check the profile"),
    "circle": (roles_in_a_circle, r"no AWS credentials: .*loop.*: check the profile"),
    "region": (bad_region, r".*can't be used: .*us east!"),
    "proxy": (proxy_refuses, r"DynamoDB at http://dynamodb.example can't be reached: .*PROXY"),
}
PROGRAMS = {
    "command": (str(ROOT / "pyanamo" / "__main__.py"), "status"),
    "import": (str(IMPORT_ITEMS), "-i", "-"),
    "pilot": (str(PILOT),),
}
# Runs a program whose requests are tried once.
ONE_TRY = """
import runpy, sys
import pyanamo.aws
pyanamo.aws.ATTEMPTS = 1
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
TASK_FILE = b"itemID|TaskID|TaskScript\na|a|true\n"


def run(home: Home, program: str) -> Finished:
    """Run a program without a terminal: stdin has a task file, which is no MFA code."""
    process = popen(
        [sys.executable, "-c", ONE_TRY, *PROGRAMS[program], "-t", "Step"],
        cwd=home.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **home.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    return finish(process, TASK_FILE)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("case", CASES)
def test_one_line_says_what_to_do(tmp_path: Path, dynamodb: str, case: str, program: str) -> None:
    home = Home(tmp_path, {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb})
    arrange, message = CASES[case]
    arrange(home)
    told = run(home, program)
    assert told.stdout == ""
    assert re.fullmatch(message + ".*\n", told.stderr), told.stderr
    assert told.code in (1, 2)


@pytest.mark.parametrize("program", ["command", "import"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_process_that_gives_no_credentials(
    tmp_path: Path, dynamodb: str, trouble: str, program: str
) -> None:
    """The same for a pilot is among its tests."""
    credentials = CredentialProcess.in_folder(tmp_path)
    home = Home(tmp_path, {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb, **credentials.environment})
    home.without_keys()
    with credentials.broken(trouble):
        told = run(home, program)
    assert (told.code, told.stdout) == (1, "")
    assert re.fullmatch("no AWS credentials: .*\n", told.stderr), told.stderr
