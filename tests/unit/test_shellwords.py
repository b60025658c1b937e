"""Commands are split into words as a shell splits them, without anything else that a shell does."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyanamo.shellwords import MAX_WORD_BYTES, check_command, shell_syntax, split_words

ENVIRONMENT = {
    "NAME": "Mario",
    "SPACED": "a  b 'c'",
    "NESTED": "$NAME",
    "EMPTY": "",
    "_1": "one",
    "BACKSLASH": r"\1 \g<0>",
}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", []),
        (" \t\r\n ", []),
        ("seq 8", ["seq", "8"]),
        ("  seq \t 8\r\n", ["seq", "8"]),
        ("echo 'a  b' \"c  d\"", ["echo", "a  b", "c  d"]),
        ("a'b'\"c\"d", ["abcd"]),
        ("echo '' \"\" x''", ["echo", "", "", "x"]),
        ("''", [""]),
        ("'it'\\''s'", ["it's"]),
        ("\"it's\" '\"'", ["it's", '"']),
        # Operators and patterns are text: nobody starts a shell.
        ("a | b > c; d & e && f", ["a", "|", "b", ">", "c;", "d", "&", "e", "&&", "f"]),
        ("ls *.txt ~ # {a,b} `c` $(d)", ["ls", "*.txt", "~", "#", "{a,b}", "`c`", "$(d)"]),
        ("bash -c 'seq 3 | wc -l'", ["bash", "-c", "seq 3 | wc -l"]),
        # Only blanks that a shell knows part words.
        ("a\u00a0b \u2028 c\x0bd", ["a\u00a0b", "\u2028", "c\x0bd"]),
        ("echo ä 日本 🍄", ["echo", "ä", "日本", "🍄"]),
    ],
)
def test_quoting(command: str, words: list[str]) -> None:
    assert split_words(command, ENVIRONMENT) == words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (r"a\ b \\ \' \" \$NAME \n", ["a b", "\\", "'", '"', "$NAME", "n"]),
        ("a\\\nb", ["ab"]),  # a line goes on
        ("a \\\n b \\\n", ["a", "b"]),
        (r"'a\' '\n\\'", ["a\\", r"\n\\"]),
        (r'"\" \\ \$NAME \` \n \x"', [r'" \ $NAME ` \n \x']),
        ('"a\\\nb"', ["ab"]),
        ('"a\nb"', ["a\nb"]),
    ],
)
def test_escapes(command: str, words: list[str]) -> None:
    assert split_words(command, ENVIRONMENT) == words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("$NAME ${NAME}", ["Mario", "Mario"]),
        ("x$NAME-${NAME}s/$_1", ["xMario-Marios/one"]),
        ('"$NAME and ${NAME}"', ["Mario and Mario"]),
        ("'$NAME ${NAME}'", ["$NAME ${NAME}"]),
        # A value goes in as it is: it is neither split, nor unquoted, nor looked through again.
        ("$SPACED", ["a  b 'c'"]),
        ('"$SPACED"', ["a  b 'c'"]),
        ("$NESTED", ["$NAME"]),
        ('$BACKSLASH "$BACKSLASH"', [r"\1 \g<0>", r"\1 \g<0>"]),
        ('a $EMPTY "$EMPTY"', ["a", "", ""]),
        # What isn't set, or is no name, stays.
        ("$UNSET ${UNSET} x$UNSET.y", ["$UNSET", "${UNSET}", "x$UNSET.y"]),
        ('"$UNSET ${UNSET}"', ["$UNSET ${UNSET}"]),
        ("$NAMES", ["$NAMES"]),
        ("$ $1 $? $$ ${} ${1} ${NAME", ["$", "$1", "$?", "$$", "${}", "${1}", "${NAME"]),
        ("${NAME:-x} ${#NAME}", ["${NAME:-x}", "${#NAME}"]),
        ('"$" "100$"', ["$", "100$"]),
        ("$NAMEé $é", ["Marioé", "$é"]),
    ],
)
def test_variables(command: str, words: list[str]) -> None:
    assert split_words(command, ENVIRONMENT) == words


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo 'a", "a single quote is not closed"),
        ("echo it's", "a single quote is not closed"),
        ("'a' '", "a single quote is not closed"),
        ('echo "a', "a double quote is not closed"),
        ('echo "a\\"', "a double quote is not closed"),
        ("\"'", "a double quote is not closed"),
        ("echo \\", "it ends in a backslash, with nothing to escape"),
        ("\\\\\\", "it ends in a backslash, with nothing to escape"),
    ],
)
def test_what_cannot_be_split(command: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        split_words(command, ENVIRONMENT)
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_command(command)


@pytest.mark.parametrize("command", ["", "  ", "'' a", '""', "\\\n"])
def test_a_command_names_something_to_run(command: str) -> None:
    with pytest.raises(ValueError, match=r"^it is empty$"):
        check_command(command)


@pytest.mark.parametrize("command", ["seq 8\0", "'\0'", "\0"])
def test_a_command_has_no_nul(command: str) -> None:
    with pytest.raises(ValueError, match=r"^it contains a NUL byte"):
        check_command(command)


@pytest.mark.parametrize("command", ["seq 8", "$TOOL", "${TOOL} 1", "./a.sh ''", "'a b'"])
def test_commands_that_can_be_run(command: str) -> None:
    check_command(command)


@pytest.mark.parametrize(
    ("command", "syntax"),
    [
        ("echo > out.txt", ">"),
        ("seq 3 | wc -l", "|"),
        ("seq 3|wc -l", "|"),
        ("cat < in.txt", "<"),
        ("echo a >> out.txt", ">>"),
        ("make 2> log", "2>"),
        ("make 2>&1", "2>"),
        ("true && echo a", "&&"),
        ("false || echo a", "||"),
        ("cd x; make", ";"),
        ("sleep 5 &", "&"),
        ("curl http://a/b?c=1&d=2", "&"),
        ("ls *.bam", "*"),
        ("ls 'a b'?", "?"),
        ("ls ~/data ~", "~"),
        ("ls ~", "~"),
        ("echo `date`", "`"),
        ('echo "`date`"', "`"),
        ("echo $(date)", "$("),
        ('echo "today: $(date)"', "$("),
        ("echo ${NAME:-x}", "${"),
        ('echo "${NAME%.bam}"', "${"),
        ("touch {a,b}", "{a,b}"),
        ("echo chr{1..22}", "{1..22}"),
        ("seq 3 # three", "#"),
        ("LC_ALL=C sort a", "LC_ALL="),
        # Even beside a shell, to which it is then passed as a word.
        ("bash -c 'seq 3' > out.txt", ">"),
        ("bash -c seq 3 | wc -l", "|"),
    ],
)
def test_what_only_a_shell_understands(command: str, syntax: str) -> None:
    assert shell_syntax(command)[0] == syntax


def test_all_that_only_a_shell_understands_is_named() -> None:
    """Each once, and not more than one can read."""
    assert shell_syntax("a && b > out.txt && c *.bam > out.txt") == ["&&", ">", "*"]
    assert shell_syntax("a; b | c > d < e & f && g || h *") == [";", "|", ">", "<", "&", "&&"]


@pytest.mark.parametrize(
    "command",
    [
        "seq 8",
        "bash -c 'seq 3 | wc -l > out.txt; ls *'",
        "/bin/sh -c 'a && b'",
        'bash -c "echo $(date) `date` ${NAME:-x} $1"',
        'timeout 5 bash -c "echo $(date)"',
        "grep 'a|b' file",
        'grep "a>b;c&d*" file',
        r"echo a\;b \> \* \~/x \`",
        "awk '{print $1}' file",
        'awk "{print \\$1}" file',
        "find . -name '*.txt' -exec wc {} +",
        "view --where x=*.bam -I*.h",
        "aws s3 cp s3://bucket/*.bam http://host/a?b=1 .",
        "echo $NAME ${NAME} x~ a#b {} {a} $ $1 a=b",
        "tool chr1:100-200 a,b [x] (y) 50% user@host +x !y",
    ],
)
def test_what_is_passed_on_as_it_is_meant(command: str) -> None:
    assert shell_syntax(command) == []


def test_what_a_shell_does_with_it_differs(tmp_path: Path) -> None:
    """A command with no such text prints in a shell what it prints without one."""
    (tmp_path / "a").touch()
    for command in ["printf %s a=*", "printf %s 'a|b' \"c>d\" x~ a#b {} {a}", "printf %s b://*"]:
        assert shell_syntax(command) == []
        shell = subprocess.run(["bash", "-c", command], capture_output=True, cwd=tmp_path)
        alone = subprocess.run(split_words(command, {}), capture_output=True, cwd=tmp_path)
        assert (shell.stdout, shell.stderr) == (alone.stdout, alone.stderr)


@given(st.text(st.sampled_from("|&;<>*?~`#$(){},.='\"\\ aNAME")))
@example("{,\\;}")
def test_any_command_has_shell_syntax_or_not(command: str) -> None:
    try:
        split_words(command, {})
    except ValueError:
        return
    assert all(text in command for text in shell_syntax(command))
    assert shell_syntax(f"bash -c {shlex.quote(command)}") == []


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_word_is_as_long_as_the_system_takes(quote: str) -> None:
    word = "x" * (MAX_WORD_BYTES - 1)
    check_command(f"true {quote}{word}{quote} {word} $NAME{word}")
    subprocess.run(["true", word], check=True)
    with pytest.raises(ValueError, match=r"^it has a word of 131,072 bytes"):
        check_command(f"true {quote}{word}y{quote}")
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true", f"{word}y"])


REASONS = "a (single|double) quote is not closed|it ends in a backslash, with nothing to escape"
NO_NUL = st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])
# Mostly the characters that mean something; all of them often enough in one text.
COMMANDS = st.text(st.sampled_from(" \t\n\r'\"\\ab#é\u2028\x85|") | NO_NUL, max_size=30)


@given(COMMANDS.map(lambda text: text.replace("$", "")))
@example("a\\\nb")
@example('"\\a\\\\\\""')
def test_words_are_those_of_shlex(command: str) -> None:
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(ValueError, match=REASONS):
            split_words(command, {})
        return
    # shlex keeps a backslash before a line end, where POSIX takes both away.
    if "\\\n" not in command and "\\`" not in command:
        assert split_words(command, {}) == expected


@given(st.lists(st.text(NO_NUL)))
def test_what_shlex_quotes_comes_back(words: list[str]) -> None:
    assert split_words(shlex.join(words), ENVIRONMENT) == words


@given(st.text(st.sampled_from("${}NAME_1'\"\\ é") | NO_NUL))
def test_any_text_is_split_or_refused_with_a_reason(command: str) -> None:
    try:
        found: list[str] | str = split_words(command, ENVIRONMENT)
    except ValueError as error:
        found = str(error)
    assert isinstance(found, list) or re.fullmatch(REASONS, found)


@pytest.mark.parametrize(
    "command",
    [
        "'a b'c\"d e\"f\\ g '' \"\"",
        r'"\a \\ \" \` \$HOME" \a \\ \"' + r" '\a'",
        '"a\\\nb" a\\\nb "c\nd"',
        '\'$NAME\' "$NAME" "${NAME}s" x${NAME}y \\$NAME',
        "'it'\\''s' a\tb",
    ],
)
def test_words_are_those_of_a_shell(command: str) -> None:
    shell = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command}"],
        capture_output=True,
        check=True,
        env={"NAME": ENVIRONMENT["NAME"]},
    )
    assert split_words(command, ENVIRONMENT) == shell.stdout.decode().split("\0")[:-1]


SET = {"NAME": "Mario", "_1": "a'b\"\\\\", "SPACED": " a  b ", "GLOB": "* $NAME"}
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4)
VARIABLES = st.sampled_from([*SET]).flatmap(
    lambda name: st.sampled_from([f"${name}", f"${{{name}}}"])
)
IN_DOUBLE_QUOTES = st.lists(
    TEXT.map(lambda text: re.sub(r'[$`"\\\\]', r"\\\g<0>", text))
    | st.sampled_from(["\\a", "\\ ", "\\'", "\\\n", "\n", "\t", "'", "|", ";", "#", "*"])
    | VARIABLES.map(lambda variable: f"{variable}."),  # its name doesn't go on
    max_size=4,
).map("".join)
PIECES = (
    st.text("abzAZ09éß日._-/:,%+@", min_size=1, max_size=4)
    | TEXT.map(lambda text: "'" + text.replace("'", "") + "'")
    | IN_DOUBLE_QUOTES.map(lambda text: f'"{text}"')
    | st.sampled_from(["$NAME.", "${NAME}", "\\\n", "'\n'"])
    | st.sampled_from(" \t'\"\\$`|&;<>()*?[]#~={}!aé").map(lambda char: f"\\{char}")
)
WORDS = st.lists(PIECES, min_size=1, max_size=4).map("".join)
BLANKS = st.text(" \t", min_size=1, max_size=2)


@given(st.lists(st.tuples(BLANKS, WORDS).map("".join), max_size=5).map("".join))
def test_random_words_are_those_of_bash(command: str) -> None:
    """Where bash does no more than is promised: nothing outside of quotes has a meaning to it."""
    shell = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' :{command}".encode()],  # in any locale
        capture_output=True,
        check=True,
        env={**SET, "LC_ALL": "C.UTF-8"},
    )
    assert split_words(f":{command}", SET) == shell.stdout.decode().split("\0")[:-1]
