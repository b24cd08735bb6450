"""Option, environment, config file, default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tincan.config import DEFAULT_STUN, SETTINGS, config_path, load, read_config, resolve
from tincan.errors import UsageError

EXAMPLES: dict[str, tuple[object, str, object, object]] = {
    # name: as option, in the environment, in the file, the value of each
    "switchboards": (("a", "b"), "a b", ["a", "b"], ("a", "b")),
    "lan": (False, "no", False, False),
    "stun": (("stun:s",), " stun:s ", ["stun:s"], ("stun:s",)),
    "turn": (("turn:t",), "turn:t", ["turn:t"], ("turn:t",)),
    "turn_user": ("user", "user", "user", "user"),
    "turn_password": ("word", "word", "word", "word"),
    "relay_only": (True, "YES", True, True),
    "timeout": (90.0, "90", 90, 90.0),
    "name": ("Ada", "Ada", "Ada", "Ada"),
}
DEFAULTS = {
    "switchboards": (),
    "lan": True,
    "stun": DEFAULT_STUN,
    "turn": (),
    "turn_user": None,
    "turn_password": None,
    "relay_only": False,
    "timeout": 600.0,
    "name": "",
}
names = pytest.mark.parametrize("name", EXAMPLES)


def environment_of(name: str) -> str:
    [setting] = [setting for setting in SETTINGS if setting.name == name]
    return setting.environment


def test_every_setting_has_an_example() -> None:
    assert [setting.name for setting in SETTINGS] == list(EXAMPLES) == list(DEFAULTS)
    assert len({setting.environment for setting in SETTINGS}) == len(SETTINGS)
    assert all(setting.environment.startswith("TIN_CAN_") for setting in SETTINGS)
    assert [setting.name for setting in SETTINGS if setting.secret] == ["turn_password"]


def test_defaults() -> None:
    found = resolve({}, {}, {})
    assert {name: value.value for name, value in found.items()} == DEFAULTS
    assert {value.source for value in found.values()} == {"default"}


@names
def test_each_source_by_itself(name: str) -> None:
    option, environment, file, expected = EXAMPLES[name]
    variable = environment_of(name)
    for sources, source in (
        (({name: option}, {}, {}), "option"),
        (({}, {variable: environment}, {}), variable),
        (({}, {}, {name: file}), "config.toml"),
    ):
        found = resolve(*sources)
        assert (found[name].value, found[name].source) == (expected, source)
        assert type(found[name].value) is type(expected)
        assert {n for n, value in found.items() if value.source != "default"} == {name}


@names
def test_which_source_wins(name: str) -> None:
    option, environment, file, _ = EXAMPLES[name]
    variable = environment_of(name)
    everywhere = ({name: option}, {variable: environment}, {name: file})
    assert resolve(*everywhere)[name].source == "option"
    assert resolve({}, *everywhere[1:])[name].source == variable
    assert resolve({}, {}, everywhere[2])[name].source == "config.toml"


@names
@pytest.mark.parametrize("nothing", [None, ()])
def test_options_that_were_not_given(name: str, nothing: object) -> None:
    _, environment, _, expected = EXAMPLES[name]
    assert resolve({name: nothing}, {environment_of(name): environment}, {})[name].value == expected


def test_an_option_may_say_no_to_the_file() -> None:
    assert resolve({"lan": False}, {"TIN_CAN_LAN": "yes"}, {"lan": True})["lan"].value is False


@names
def test_an_empty_variable_is_none(name: str) -> None:
    assert resolve({}, {environment_of(name): ""}, {})[name].source == "default"


@pytest.mark.parametrize("text", ["1", "yes", "Yes", "true", "TRUE", "on"])
def test_yes(text: str) -> None:
    assert resolve({}, {"TIN_CAN_RELAY_ONLY": text}, {})["relay_only"].value is True


@pytest.mark.parametrize("text", ["0", "no", "No", "false", "off", "OFF"])
def test_no(text: str) -> None:
    assert resolve({}, {"TIN_CAN_LAN": text}, {})["lan"].value is False


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lan", "maybe"),
        ("lan", "2"),
        ("relay_only", " "),
        ("timeout", "soon"),
        ("timeout", "0"),
        ("timeout", "-5"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("timeout", "604801"),
    ],
)
def test_wrong_variables(name: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} from {environment_of(name)} must be ") as caught:
        resolve({}, {environment_of(name): text}, {})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("switchboards", 7),
        ("switchboards", ["a", 7]),
        ("switchboards", {"a": "b"}),
        ("lan", 1),
        ("lan", []),
        ("stun", True),
        ("turn_user", 7),
        ("turn_password", 12345678),
        ("timeout", True),
        ("timeout", [60]),
        pytest.param("timeout", 10**400, id="timeout-huge"),
        ("name", ["Ada"]),
    ],
)
def test_wrong_values_in_the_file(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"^{name} from config\.toml must be ") as caught:
        resolve({}, {}, {name: value})
    assert "12345678" not in str(caught.value)


def test_a_wrong_value_that_is_overruled_does_not_matter() -> None:
    assert resolve({"timeout": 5.0}, {"TIN_CAN_TIMEOUT": "soon"}, {"timeout": "never"})["timeout"].value == 5.0


# -- the file ----------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the config file of this test is looked for."""
    for variable in ("XDG_CONFIG_HOME", "HOME", "LOCALAPPDATA", "APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    for setting in SETTINGS:
        monkeypatch.delenv(setting.environment, raising=False)
    path = config_path()
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_no_file(file: Path) -> None:
    assert read_config() == {}
    assert {value.source for value in load({}).values()} == {"default"}


def test_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('switchboards = ["can.example"]\nlan = false\ntimeout = 30\nname = "Ædå"\n', encoding="utf-8")
    monkeypatch.setenv("TIN_CAN_TIMEOUT", "40")
    found = load({"name": "Eve"})
    assert found["switchboards"].value == ("can.example",)
    assert found["lan"].value is False
    assert (found["timeout"].value, found["timeout"].source) == (40.0, "TIN_CAN_TIMEOUT")
    assert (found["name"].value, found["name"].source) == ("Eve", "option")


def test_an_empty_file(file: Path) -> None:
    file.write_bytes(b"# nothing yet\n")
    assert read_config() == {}


@pytest.mark.parametrize("content", [b"lan = ", b"lan = yes", b"\xff\xfe", b"lan = true\nlan = false", b"[lan"])
def test_a_damaged_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError, match="is not valid TOML"):
        read_config()


@pytest.mark.parametrize("content", ["wlan = true", "[lan]\nx = 1\n[zebra]\n", "Lan = true"])
def test_settings_that_do_not_exist(file: Path, content: str) -> None:
    file.write_text(content)
    unknown = {"wlan = true": "wlan", "Lan = true": "Lan"}.get(content, "zebra")
    with pytest.raises(UsageError, match=f"does not exist: {unknown}"):
        read_config()


def test_a_file_that_cannot_be_read(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        read_config()
