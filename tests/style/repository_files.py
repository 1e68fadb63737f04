"""Rules on the files that services and tools read, workflows and issue forms of .github and the
hooks of pre-commit, and on the commands in the pages for contributors. They are run elsewhere, so
what they call is looked for here.
"""

import os
import re
import shlex
import subprocess

import yaml

from project_tree import ROOT, project_files

# A version of an action: its major version, or a commit.
PINNED = re.compile(r"[\w.-]+/[\w./-]+@(v\d+(\.\d+)*|[0-9a-f]{40})")
# What looks like a file of the tree in a command.
FOLDERS = ("./", ".ci/", "bench/", "deploy/", "scripts/", "tests/")
PAGES = {"CONTRIBUTING.md", "HACKING.md", "PULL_REQUEST_TEMPLATE.md"}
FORM_PARTS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def suites():
    """The names that ./test takes."""
    done = subprocess.run([ROOT / "test", "--list"], capture_output=True, text=True, check=True)
    return {*done.stdout.split(), "default"}


def simple_commands(script):
    """The words of each command of a script."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        words = []
        for word in lexer:
            if word.strip("&|;"):
                words.append(word)
            else:
                yield words
                words = []
        yield words


def check_script(root, script):
    for words in simple_commands(script):
        yield from check_command(root, words)


def check_command(root, words):
    """What is wrong with the files and suites that a command names."""
    for i, word in enumerate(words):
        path = root / word
        if not word.startswith(FOLDERS):
            continue
        if not path.exists():
            yield f"{word} does not exist"
        elif path.is_file() and not path.suffix and not os.access(path, os.X_OK):
            yield f"{word} cannot be run"
        if word == "./test":
            for suite in words[i + 1 :]:
                if not suite.startswith("-") and suite not in suites():
                    yield f"no suite is called {suite}"


def check_workflow(root, workflow):
    """What is wrong with a workflow of GitHub."""
    # YAML 1.1 takes the key `on` for a truth value.
    triggers = workflow.get("on", workflow.get(True))
    if not triggers:
        yield "it never runs"
    if workflow.get("permissions") != {"contents": "read"}:
        yield "it does not say that it may only read"
    for name, event in (triggers if isinstance(triggers, dict) else {}).items():
        for pattern in (event or {}).get("paths", []) if isinstance(event, dict) else []:
            if not any(root.glob(pattern)):
                yield f"{name}: no file is like {pattern}"
    for name, job in workflow.get("jobs", {}).items():
        if "timeout-minutes" not in job:
            yield f"{name} may run for hours"
        if str(job.get("runs-on", "")).endswith("-latest"):
            yield f"{name} runs on whatever is the latest system"
        if not job.get("steps"):
            yield f"{name} has no steps"
        for step in job.get("steps", []):
            if ("uses" in step) == ("run" in step):
                yield f"{name}: a step either uses an action or runs a command"
            if "uses" in step and not PINNED.fullmatch(step["uses"]):
                yield f"{name}: {step['uses']} has no version"
            for problem in check_script(root, step.get("run", "")):
                yield f"{name}: {problem}"


def check_form(form):
    """What is wrong with an issue form of GitHub."""
    for key in ("name", "description", "body"):
        if not form.get(key):
            yield f"it has no {key}"
    seen = set()
    for part in form.get("body") or []:
        attributes = part.get("attributes", {})
        if part["type"] not in FORM_PARTS:
            yield f"{part['type']} is no part of a form"
        elif part["type"] == "markdown":
            if not attributes.get("value"):
                yield "a text is empty"
        elif not attributes.get("label"):
            yield f"{part.get('id')} has no label"
        elif part.get("id") in seen | {None}:
            yield f"{attributes['label']}: the id is missing or another's"
        seen.add(part.get("id"))
    if seen <= {None}:
        yield "it asks for nothing"


def check_hooks(root, config):
    """What is wrong with the hooks of pre-commit."""
    for repository in config["repos"]:
        if repository["repo"] != "local":
            yield f"{repository['repo']} is downloaded"
        for hook in repository["hooks"]:
            if hook.get("language") != "system":
                yield f"{hook['id']}: pre-commit makes an environment for it"
            for problem in check_script(root, hook.get("entry", "")):
                yield f"{hook['id']}: {problem}"


def commands_of(page):
    """The blocks of shell in a page of Markdown, and what else is set as code."""
    block = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return block.findall(page) + re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", page))


def check_page(root, page):
    """What is wrong with the commands of a page."""
    for command in commands_of(page):
        yield from check_script(root, command)


def check_file(root, path):
    """All problems of a file; none if it is of no kind that is known here."""
    if path.name in PAGES:
        for problem in check_page(root, (root / path).read_text(encoding="utf-8")):
            yield f"{path}: {problem}"
    if path.suffix not in (".yml", ".yaml"):
        return
    if path.parts[0] != ".github" and path.name != ".pre-commit-config.yaml":
        return
    try:
        content = yaml.safe_load((root / path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        yield f"{path}: {error}"
        return
    if not isinstance(content, dict):
        problems = ["it is empty"]
    elif path.parent.name == "workflows":
        problems = check_workflow(root, content)
    elif path.parent.name == "ISSUE_TEMPLATE" and path.stem != "config":
        problems = check_form(content)
    elif path.name == ".pre-commit-config.yaml":
        problems = check_hooks(root, content)
    else:
        problems = []
    for problem in problems:
        yield f"{path}: {problem}"


def check_tree(root=ROOT):
    return [problem for path in project_files(root) for problem in check_file(root, path)]
