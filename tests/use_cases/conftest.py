"""Fixtures for tests of the use cases: a cohort, and the container's image as a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cohort import Bench, make_aligned_cohort
from tests.support.container import Container, copy_into
from tests.support.place import Place


@pytest.fixture(scope="session")
def aligned(_isolated_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cohort and its alignments, which no test changes."""
    return make_aligned_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def bench(aligned: tuple[Path, Path], tmp_path: Path) -> Bench:
    """A cohort that is aligned, and folders for what a test makes of it."""
    return Bench(tmp_path, *aligned)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's files."""
    image = tmp_path_factory.mktemp("image")
    copy_into(image)
    return image


@pytest.fixture
def container(image: Path, local: Place) -> Container:
    """A container that hasn't been started, with an embedded table."""
    local.table.create()
    return Container(image, local)
