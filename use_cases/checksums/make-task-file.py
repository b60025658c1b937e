"""Write a PyAnamo task file that checksums and compresses every file of a folder.

Each folder is an item, and each file is a task. File names may contain `|` and `,`, so the
delimiters are `//|` and `//,` instead:

    pets/cats//|pets//|bash .../checksum-and-compress.sh ROOT OUT//|pets/cats/a.jpg//,...
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

# A path never has two slashes in a row, so these can't occur in arguments made of paths.
DELIMITER = "//|"
NESTED_DELIMITER = "//,"

# DynamoDB's limits for an item's ID, and for an item (minus a margin) with the commands, results
# and outputs of its tasks. An output is the file's path and its checksum.
MAX_ID_BYTES = 2048
MAX_ITEM_BYTES = 380_000
RESULT_AND_CHECKSUM_BYTES = 450

TASK = Path(__file__).resolve().with_name("checksum-and-compress.sh")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Write a task file, to standard output, that checksums and compresses "
        "every file of a folder.",
        epilog=f"Import it with -d '{DELIMITER}' -n '{NESTED_DELIMITER}'. The exit code is 1 "
        "if a file or folder had to be left out; standard error says which.",
    )
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("output", type=Path, help="where checksums and compressed files go")
    parser.add_argument(
        "--max-files",
        type=positive,
        default=500,
        metavar="N",
        help="split folders of more files into several items (default: %(default)s)",
    )
    parser.add_argument("--symlinks", action="store_true", help="include symlinks to files")
    args = parser.parse_args()

    root, output = args.folder.resolve(), args.output.resolve()
    if not root.is_dir():
        parser.error(f"not a folder: {args.folder}")
    if root.is_relative_to(output):
        parser.error("the output folder must neither be nor contain the folder of the files")
    script = shlex.join(["bash", str(TASK), str(root), str(output)])
    if not fits_on_line(script):
        parser.error(f"a task file cannot hold this command: {script!a}")

    problems: list[str] = []
    write_line("itemID", "TaskID", "TaskScript", "TaskArgs")
    for folder, files in walk(root, output, args.symlinks, problems):
        task_id = shlex.quote(folder.partition("/")[0])
        arguments = [shlex.quote(file) for file in files]
        for number, batch in enumerate(split(arguments, args.max_files, script), start=1):
            # Part two of the folder a is a#2. A folder that is called a#2 gets quotes: 'a#2'.
            item_id = shlex.quote(folder) + (f"#{number}" if number > 1 else "")
            if len(os.fsencode(item_id)) > MAX_ID_BYTES:
                problems.append(f"the files in {folder!a} (path too long for an item's ID)")
                continue
            write_line(item_id, task_id, script, NESTED_DELIMITER.join(batch))

    for problem in problems:
        print(f"Left out: {problem}", file=sys.stderr)
    return 1 if problems else 0


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def fits_on_line(text: str) -> bool:
    """Return whether a task file can hold this text."""
    try:
        os.fsencode(text).decode()
    except UnicodeDecodeError:
        return False
    return not any(bad in text for bad in ("\n", "\r", "//"))


def walk(
    root: Path, output: Path, symlinks: bool, problems: list[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders that have files, and those files, all relative to the root."""

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename!a} ({error.strerror})")

    for path, subfolders, names in os.walk(root, onerror=unreadable):
        # os.walk visits the folders in this list, in this order.
        subfolders[:] = sorted(name for name in subfolders if Path(path, name) != output)

        folder = os.path.relpath(path, root)
        files = []
        for name in sorted(names):
            full_path = os.path.join(path, name)
            if not os.path.isfile(full_path) or (os.path.islink(full_path) and not symlinks):
                continue
            file = os.path.relpath(full_path, root)
            if fits_on_line(file):
                files.append(file)
            else:
                problems.append(f"{file!a} (line break or bytes that are not UTF-8 in its name)")
        if files:
            yield folder, files


def split(arguments: list[str], max_files: int, script: str) -> Iterator[list[str]]:
    """Split a folder's arguments into batches that fit into an item."""
    batch: list[str] = []
    batch_size = 0
    for argument in arguments:
        size = len(os.fsencode(f"{script} {argument} {argument}")) + RESULT_AND_CHECKSUM_BYTES
        if batch and (len(batch) == max_files or batch_size + size > MAX_ITEM_BYTES):
            yield batch
            batch, batch_size = [], 0
        batch.append(argument)
        batch_size += size
    yield batch


def write_line(*fields: str) -> None:
    # Write names as the same bytes that were read, whatever the locale.
    sys.stdout.buffer.write(os.fsencode(DELIMITER.join(fields) + "\n"))


if __name__ == "__main__":
    sys.exit(main())
