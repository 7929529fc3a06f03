#!/usr/bin/env python3
"""Writes packaging/program: the man page of pali, and its completion for bash, zsh and fish, from what `pali --help` and `pali SUBCOMMAND --help` say.

usage: make_manual.py PALI [--check]      with --check: exit 1 if a file is not what would be written
"""
import pathlib
import re
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "packaging" / "program"


class option:
    """`names` such as ["-m", "--model"]; `value` "" for a flag; `choices` of the value, if it has some; `default`, or ""."""

    def __init__(self, head, text):
        words = head.split(" ", 1)
        self.names = words[0].split(",")
        value = (words[1] if len(words) > 1 else "").replace(" REQUIRED", "").replace(" ...", "").strip()
        value, _, self.default = value.partition("=")
        value, _, choices = value.partition(":{")
        self.value, self.choices = value.rstrip("."), choices.rstrip("}").split(",") if choices else []
        self.positional = not head.startswith("-")
        self.text = text


def entries(section):
    """(head, text) of the entries below "Options:" and the like."""
    found = []
    for line in section.splitlines():
        if re.match(r"  \S", line):
            parts = re.split(r"\s{2,}", line.strip(), maxsplit=1)
            found.append([parts[0], parts[1] if len(parts) > 1 else ""])
        elif line.strip() and found:
            found[-1][1] = f"{found[-1][1]} {line.strip()}".strip()
    return found


def read_help(pali, *words):
    text = subprocess.run([pali, *words, "--help"], capture_output=True, text=True, check=True).stdout
    sections = dict(re.findall(r"^(Positionals|Options|Subcommands):\n(.*?)(?=^\S|\Z)", text, flags=re.M | re.S))
    return text.splitlines()[0], sections


def read_program(pali):
    about, sections = read_help(pali)
    subcommands = []
    for name, text in entries(sections["Subcommands"]):
        _, own = read_help(pali, name)
        options = [option(head, said) for key in ("Positionals", "Options") for head, said in entries(own.get(key, ""))]
        subcommands.append((name, text, options))
    return about, subcommands


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text)


def manual(about, subcommands, version):
    out = [f'.TH PALI 1 "" "pali {version}" "User Commands"', ".SH NAME", "pali \\- " + roff(about.rstrip(".")), ".SH SYNOPSIS"]
    for name, _, options in subcommands:
        out += [".br", f".B pali {name}", "[\\fIOPTION\\fR]..." + "".join(f" \\fI{roff(o.value or o.names[0])}\\fR" for o in options if o.positional)]
    out += [".SH DESCRIPTION", roff("Without --model a subcommand uses the embedded model, a tiny PaliGemma 2 that knows coloured shapes, and without --image its sample image. The exit status is 0; 1 where "
            "a file cannot be used or an image has no answer; 2 for wrong use; 130 after Ctrl-C."), ".SH SUBCOMMANDS"]
    for name, text, options in subcommands:
        out += [f'.SS "pali {name}"', roff(text) + "."]
        for o in options:
            if "--help" in o.names:
                continue
            value = f" \\fI{roff(o.value)}\\fR" if o.value else ""
            said = o.text + (f"; one of {', '.join(o.choices)}" if o.choices else "") + (f" (default {o.default})" if o.default else "")
            out += [".TP", ", ".join(f"\\fB{roff(n)}\\fR" for n in o.names) + value, roff(said) + "."]
    out += [".SH ENVIRONMENT", ".TP", "\\fBPALI_MODELS\\fR", "Folder that the embedded model is in, if it was moved.", ".TP", "\\fBPALI_ARCH\\fR",
            "Level of instructions to use, for tests: x86-64, x86-64-v3, x86-64-v4, neon, or an extension; see pali inspect --arch.", ".TP", "\\fBPALI_LEASE_SECONDS\\fR", "Seconds after which a process that shares a folder of results counts as dead; 60 by default."]
    return "\n".join(out) + "\n"


def bash(subcommands):
    out = ["# Completion of pali for bash, from its own help.", "_pali() {", '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}', "    COMPREPLY=()",
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then", f"        COMPREPLY=($(compgen -W \"{' '.join(name for name, _, _ in subcommands)} --help --version\" -- \"$word\"))", "        return", "    fi",
           '    case "${COMP_WORDS[1]}:$before" in']
    for name, _, options in subcommands:
        for o in options:
            if o.choices:
                out.append(f"    {'|'.join(f'{name}:{n}' for n in o.names)}) COMPREPLY=($(compgen -W \"{' '.join(o.choices)}\" -- \"$word\")); return ;;")
    out += ["    esac", '    [[ $word == -* ]] || return 0', '    case "${COMP_WORDS[1]}" in']
    for name, _, options in subcommands:
        out.append(f"    {name}) COMPREPLY=($(compgen -W \"{' '.join(n for o in options if not o.positional for n in o.names)}\" -- \"$word\")) ;;")
    return "\n".join([*out, "    esac", "}", "complete -o default -F _pali pali"]) + "\n"


def quoted(text):
    return text.replace("'", "'\\''")


def zsh(subcommands):
    out = ["#compdef pali", "# Completion of pali for zsh, from its own help.", "_pali() {", "    local -a subcommands", "    subcommands=("]
    out += [f"        '{quoted(name)}:{quoted(text)}'" for name, text, _ in subcommands]
    out += ["    )", "    if (( CURRENT == 2 )); then", "        _describe subcommand subcommands", "        return", "    fi", "    local chosen=$words[2]", "    shift words", "    (( CURRENT-- ))", '    case "$chosen" in']
    for name, _, options in subcommands:
        out.append(f"    {name}) _arguments \\")
        for o in options:
            said = quoted(o.text).replace("[", "(").replace("]", ")").replace(":", "\\:")
            value = f":{o.value.lower()}:{'(' + ' '.join(o.choices) + ')' if o.choices else '_files'}" if o.value else ""
            if not o.positional:
                out += [f"        '*{n}[{said}]{value}' \\" for n in o.names]
        out.append("        '*:file:_files' ;;")
    return "\n".join([*out, "    esac", "}", '_pali "$@"']) + "\n"


def fish(subcommands):
    out = ["# Completion of pali for fish, from its own help."]
    out += [f"complete -c pali -n __fish_use_subcommand -f -a {name} -d '{quoted(text)}'" for name, text, _ in subcommands]
    for name, _, options in subcommands:
        for o in options:
            if o.positional:
                continue
            names = " ".join(f"-s {n[1:]}" if not n.startswith("--") else f"-l {n[2:]}" for n in o.names)
            value = f" -x -a '{' '.join(o.choices)}'" if o.choices else " -r" if o.value else ""
            out.append(f"complete -c pali -n '__fish_seen_subcommand_from {name}' {names}{value} -d '{quoted(o.text)}'")
    return "\n".join(out) + "\n"


def main():
    pali = sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__)
    version = subprocess.run([pali, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    about, subcommands = read_program(pali)
    files = {"pali.1": manual(about, subcommands, version), "pali.bash": bash(subcommands), "_pali": zsh(subcommands), "pali.fish": fish(subcommands)}
    stale = [name for name, text in files.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text]
    if "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(stale)}; run tools/make_manual.py PALI" if stale else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(files[name])
    print("written:", ", ".join(stale) or "nothing")


main()
