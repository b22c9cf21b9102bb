"""Files of accounts: what is read, and what is said of those that can't be."""

import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import HttpUrl

from plugchat_async import Account, InvalidValueError, PlugChatError, read_accounts
from plugchat_async.bulk.names import AccountNames, file_name, name_key


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "accounts.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    "text",
    [
        "name,token,base_url\nAna,t-1,\nBia,t-2,https://x.example/api/whatsapp\n",
        "\ufeffname;token;base_url\r\nAna;t-1;\r\n\r\nBia;t-2;https://x.example/api/whatsapp\r\n",
        "base_url\tTOKEN\tNote\t Name \n\tt-1\thello\tAna\nhttps://x.example/api/whatsapp\t t-2 \t\t Bia",
        'name,token,base_url,,\n"Ana","t-1","",,\n"Bia",t-2,https://x.example/api/whatsapp,,\n,,,,\n',
    ],
)
def test_an_account_is_a_line(tmp_path: Path, text: str) -> None:
    """Columns in any order, others unread, as spreadsheets write them: separators, marks, quotes, empty lines."""
    assert read_accounts(written(tmp_path, text)) == [
        Account("Ana", "t-1"),
        Account("Bia", "t-2", "https://x.example/api/whatsapp"),
    ]


def test_tokens_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the variable that the line names; where there is none, of the file."""
    monkeypatch.setenv("ANA_TOKEN", "from-the-environment")
    file = written(tmp_path, "name,token,token_env\nAna,,ANA_TOKEN\nBia,t-2,\n")
    assert read_accounts(str(file)) == [Account("Ana", "from-the-environment"), Account("Bia", "t-2")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 does not name the columns name and token"),
        ("\n", "line 1 does not name"),
        ("Ana,t-1\n", "line 1 does not name"),
        ("name\nAna\n", "line 1 does not name"),
        ("name,token,name\n", "line 1 names a column twice"),
        ("name,token\n", "the file has no accounts"),
        ("name,token\nAna\n", "line 2: expected 2 cells, found 1"),
        ("name,token\nAna,t-1\n\nBia,t-2,t-3\n", "line 4: expected 2 cells, found 3"),
        ("name,token\n,t-1\n", "line 2: no name"),
        ("name,token\nAna,\n", "line 2: 'Ana': no token"),
        ("name,token,token_env\nAna,t,E\n", "line 2: 'Ana': both token and token_env"),
        ("name,token_env\nAna,NO_SUCH_VARIABLE\n", "variable NO_SUCH_VARIABLE of token_env is not set"),
        ("name,token_env\nAna,1nEFbU3EktLnV7LIIzX\n", "the environment variable in token_env is not set"),
        ("name,token_env\nAna,A1B2C3D4_E5F6A7B8\n", "the environment variable in token_env is not set"),
        ("name,token\nAna,t t\n", "line 2: 'Ana': token contains spaces"),
        ("name,token\nAna,Bearer t\n", "line 2: 'Ana': token begins with 'Bearer'"),
        ("name,token,base_url\nAna,t,http://x.example\n", "line 2: 'Ana': base_url must be https"),
        ("name,token\nAna,t\nBia,t\nAna,u\n", "line 4: 'Ana' is also in line 2"),
        ("name,token\nAna,t t\nana,u\n", "line 2: 'Ana': token contains spaces, .*; line 3: 'ana' is also in line 2"),
        ('name,token\n"A\nna",t\nBia,\n', "line 4: 'Bia': no token"),
        ('name,token\n"A\nna",\n', "line 2: 'A.nna': no token"),
        ('name,token\nBia,\nAna,"t"x\n', r"line 2: 'Bia': no token; line 3: not valid CSV"),
        ('name,token\nBia,t\n"Ana,t\n', "line 3: not valid CSV"),
        ("name,token," + "x" * 200_000 + "\n", "line 1: not valid CSV"),
        (b"name,token\nAna,t\nJos\xe9,t\n", "line 3: not UTF-8"),
        ("name,token\n" + "x\n" * 30, r"line 11: .*; and 20 more"),
    ],
)
def test_a_malformed_file_is_refused_with_its_lines(tmp_path: Path, text: str | bytes, message: str) -> None:
    """What is wrong, and where; all at once."""
    with pytest.raises(InvalidValueError, match=message) as caught:
        read_accounts(written(tmp_path, text))
    assert str(tmp_path / "accounts.csv") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("Ana,t-1\n", ["Its first line names the columns"]),
        ("name,token\n", ["Its first line names the columns"]),
        (b"name,token\nJos\xe9,t\n", ['in Excel, as "CSV UTF-8"']),
        ("name,token\nAna\n", ["as many cells as the first one"]),
        ('name,token\nAna,"t"x\n', ["into quotes"]),
        ("name,token\nAna,t\nAna,t\n", ["a name of its own"]),
        ("name,token\n,t\n", ["a name of its own"]),
        ("name,token\nAna,\n", ["Fill in token or token_env"]),
        ("name,token_env\nAna,NO_SUCH_VARIABLE\n", ["Set the variable in the environment"]),
        ("name,token\nAna,Bearer t\n", ["pass it without 'Bearer'"]),
        ("name,token,base_url\nAna,t,http://x.example\n", ["Use https"]),
        ("name,token\nAna,\nBia,\nAna,t t\n", ["Fill in token or token_env", "a name of its own"]),
    ],
)
def test_each_problem_says_what_to_do(tmp_path: Path, text: str | bytes, hints: list[str]) -> None:
    """Once for each kind, in the order of the lines."""
    with pytest.raises(InvalidValueError) as caught:
        read_accounts(written(tmp_path, text))
    hint = caught.value.hint
    places = [hint.index(each) for each in hints]
    assert places == sorted(places)
    assert sum(hint.count(each) for each in hints) == len(hints)
    assert ("Its first line" in hint) is ("Its first line names the columns" in hints)


def test_an_empty_variable_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set."""
    monkeypatch.setenv("ANAS_TOKEN", "")
    with pytest.raises(InvalidValueError, match="variable ANAS_TOKEN of token_env is empty"):
        read_accounts(written(tmp_path, "name,token_env\nAna,ANAS_TOKEN\n"))


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    """A folder, or none."""
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InvalidValueError, match=r"can't read the file.*Check the path and the permissions\."):
            read_accounts(path)
    with pytest.raises(InvalidValueError, match="not a valid path"):
        read_accounts("a\0b")


@pytest.mark.parametrize(
    "text",
    [
        "name,token\nAna,{token} \x00\n",
        "name,token\nAna,{token},{token}\n",
        "name,token\nAna,Bearer {token}\n",
        "name,token_env\nAna,{token}\n",
        "Ana,{token}\n",
        'name,token\nAna,"{token}"x\n',
        "name,token,token_env\nAna,{token},{token}\n",
    ],
)
def test_no_token_is_shown(tmp_path: Path, text: str) -> None:
    """Wherever it was put, and whatever is read out of the error and the frames behind it."""
    token = "s3cr3t-t0ken-that-nobody-may-see"
    with pytest.raises(PlugChatError) as caught:
        read_accounts(written(tmp_path, text.replace("{token}", token)))
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(repr(frame.locals) for frame in trace.stack if "/tests/" not in frame.filename)
    assert token not in str(caught.value) + repr(caught.value) + shown
    assert token not in pickle.dumps(caught.value).decode("latin-1")
    assert caught.value.__context__ is None


# Names of files.


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Ana", "Ana"),
        ("São Paulo, loja 1 (centro)", "São Paulo, loja 1 (centro)"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("_manifest", "%5Fmanifest"),
        ("failures", "%66ailures"),
        ("Failures", "%46ailures"),
        ("con", "%63on"),
        ("LPT1.x", "%4CPT1.x"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        ("50%", "50%25"),
        ("a\nb\x7f", "a%0Ab%7F"),
    ],
)
def test_a_file_bears_its_accounts_name(name: str, file: str) -> None:
    """As far as file systems take it."""
    assert file_name(name) == file


def test_a_long_name_is_cut_and_told_apart_by_a_hash() -> None:
    """In bytes, not in the middle of a character."""
    one, other = file_name("é" * 300), file_name("é" * 301)
    assert one != other
    assert len(one.encode()) <= 200
    assert one.startswith("é" * 90)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(min_size=1))
def test_names_that_are_told_apart_have_files_that_are(one: str, other: str) -> None:
    """On any file system: no name leads out of the folder, and none is another's."""
    file = file_name(one)
    assert "/" not in file
    assert "\\" not in file
    assert file not in ("", ".", "..")
    assert not file.startswith((".", "_"))
    names = AccountNames()
    names.add(one)
    try:
        names.add(other)
    except InvalidValueError:
        return
    assert name_key(file_name(other)) != name_key(file)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana", "Ana"),
        ("Ana", "ANA"),
        ("José", "Jose\u0301"),
        ("straße", "STRASSE"),
        ("\u0390", "\u03aa\u0301"),
        ("a\u200db", "ab"),
    ],
)
def test_names_that_look_the_same_to_some_file_system_are_refused(one: str, other: str) -> None:
    """The second one would take the first one's place."""
    names = AccountNames()
    names.add(one)
    with pytest.raises(InvalidValueError, match="there are"):
        names.add(other)


@pytest.mark.parametrize("name", ["", None, 5, "\ud800"])
def test_what_is_no_text_is_no_name(name: object) -> None:
    """Nor is half a surrogate pair."""
    with pytest.raises(InvalidValueError, match="invalid account name"):
        AccountNames().add(name)


def test_an_account_shows_no_secret() -> None:
    """Neither its token nor the password of a base URL, which is refused only when the account is fetched."""
    account = Account("Ana", "s3cret", HttpUrl("https://ana:s3cret@x.example"))
    assert repr(account) == "Account(name='Ana', base_url=***)"
    assert repr(Account("Ana", "s3cret", "https://x.example")) == "Account(name='Ana', base_url='https://x.example')"
