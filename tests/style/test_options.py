"""An option of the server is stated once, and its variables are told from those of others."""

import re

import server_options
from project_tree import ROOT

# What config/ says about options in general.
EXAMPLES = {"server/config/config_help.cc": {"--max-batch-size"}}


def test_a_flag_is_declared_once():
    flags = server_options.declared_flags()
    assert len(flags) > 20
    assert sorted(set(flags)) == sorted(flags)


def test_flags_are_named_by_their_option():
    """Outside of its specification no string has a flag: messages take it from the option."""
    flags = set(server_options.declared_flags())
    for path, text in server_options.sources().items():
        rest = server_options.SPECIFICATION.sub("", text)
        strings = " ".join(re.findall(r'"(?:[^"\\\n]|\\.)*"', rest))
        named = flags.intersection(re.findall(r"--[a-z-]+", strings))
        assert named == EXAMPLES.get(path, set()), path


def others():
    """The variables that server/config takes for those of others."""
    text = (ROOT / "server/config/config.cc").read_text(encoding="utf-8")
    (names,) = re.findall(r"kForOthers\[\] = \{(.*?)\};", text, re.DOTALL)
    return set(re.findall(r'"(PIXPOOL_[A-Z_]+)"', names))


def test_the_server_knows_the_variables_of_the_scripts():
    scripts = [ROOT / "run", ROOT / "test", *sorted((ROOT / "scripts").glob("*.sh"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in scripts)
    # Not -DPIXPOOL_..., which CMake takes.
    named = set(re.findall(r"(?<!-D)\bPIXPOOL_[A-Z_]*[A-Z]\b", text))
    mine = {name for name in named if not name.startswith("PIXPOOL_TEST_")}
    unknown = mine - others() - server_options.variables()
    assert not unknown, "add them to kForOthers of server/config/config.cc"


def test_no_variable_of_others_is_left_over():
    """Each is read by a script, or by the command and the Python client (PIXPOOL_TARGET)."""
    readers = [ROOT / "run", ROOT / "test", *(ROOT / "scripts").glob("*.sh")]
    readers += (ROOT / "client").rglob("*.cc")
    text = "\n".join(path.read_text(encoding="utf-8") for path in readers)
    for name in sorted(others()):
        assert re.search(rf"\b{name}\b", text), name
    assert not others() & server_options.variables()


PAGE_FOR_CLIENTS = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
UNITS = {"s": 1000, "minutes": 60, "MiB": 1 << 20, "images": 1}  # in those of the option
FIGURE = re.compile(r"([\d.]+)\s+(s|minutes|MiB|images)\b([^().|`]{0,50})\(`(--[a-z-]+)`\)")


def defaults():
    """Flag -> default, of the options that are numbers."""
    specifications = "".join(server_options.sources().values()).split(".flag = ")[1:]
    found = [re.match(r'"(--[a-z-]+)",[^}]*?\.initial = ([^,]+),', text) for text in specifications]
    return {
        match[1]: eval(match[2].replace("'", ""))
        for match in found
        if match and re.fullmatch(r"[\d' <*]+", match[2])
    }


def test_the_page_for_clients_states_the_defaults():
    figures = FIGURE.findall(PAGE_FOR_CLIENTS)
    assert len({flag for *_, flag in figures}) >= 6
    for number, unit, _, flag in figures:
        assert round(float(number) * UNITS[unit]) == defaults()[flag], flag


def test_the_page_for_clients_names_options_that_exist():
    code = re.findall(r"`(--[a-z-]+)`", PAGE_FOR_CLIENTS)
    assert len(code) > 6
    commands = "".join(path.read_text() for path in (ROOT / "client" / "cli").glob("*.cc"))
    of_clients = re.findall(r'"(?:-\w,)?(--[a-z-]+)', commands)
    assert set(code) <= {*server_options.declared_flags(), *of_clients}
