import { Argument, type Command } from "commander";
import { exitCodesHelp } from "../exit-codes.ts";
import type { CommandContext } from "../terminal.ts";

const help = `
Examples:
  source <(kindling completion bash)
  kindling completion zsh > "\${fpath[1]}/_kindling"
  kindling completion fish > ~/.config/fish/completions/kindling.fish

${exitCodesHelp("unexpected error", "none")}`;

/** Adds `kindling completion`. */
export function addCompletion(program: Command, { terminal }: CommandContext): void {
  program
    .command("completion")
    .description("print a script that completes commands and options")
    .addArgument(new Argument("<shell>", "your shell").choices(["bash", "zsh", "fish"]))
    .addHelpText("after", help)
    .action((shell: "bash" | "zsh" | "fish") => {
      terminal.stdout.write(scripts[shell](wordsByCommand(program)));
    });
}

/** The words that can follow a command line, by its commands: `"failed retry"` → `--all`, `--json`, `--help`. */
function wordsByCommand(program: Command): ReadonlyMap<string, readonly string[]> {
  const words = new Map<string, readonly string[]>();
  const add = (path: string, command: Command) => {
    const options = command.options.flatMap(({ long }) => long ?? []);
    const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
    words.set(path, [...command.commands.map((sub) => sub.name()), ...choices, ...options, "--help"]);
    for (const sub of command.commands) add(`${path} ${sub.name()}`.trim(), sub);
  };
  add("", program);
  return words;
}

type Words = ReadonlyMap<string, readonly string[]>;

// The deepest command that the line begins with decides: options and arguments after it change nothing.
const bashFunction = (words: Words) => `_kindling_words() {
  local path="" word
  for word in "$@"; do
    case "\${path:+$path }$word" in
${[...words.keys()]
  .filter((path) => path !== "")
  .map((path) => `      "${path}") path="${path}" ;;`)
  .join("\n")}
    esac
  done
  case "$path" in
${[...words].map(([path, list]) => `    "${path}") echo "${list.join(" ")}" ;;`).join("\n")}
  esac
}
`;

const scripts: Readonly<Record<"bash" | "zsh" | "fish", (words: Words) => string>> = {
  bash: (words) => `${bashFunction(words)}
_kindling() {
  local list
  list="$(_kindling_words "\${COMP_WORDS[@]:1:COMP_CWORD-1}")"
  mapfile -t COMPREPLY < <(compgen -W "$list" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _kindling kindling
`,
  zsh: (words) => `#compdef kindling
${bashFunction(words)}
_kindling() {
  local -a list
  list=(\${(s: :)"$(_kindling_words "\${(@)words[2,CURRENT-1]}")"})
  compadd -- $list
  _files
}
compdef _kindling kindling
`,
  fish: (words) =>
    [...words]
      .flatMap(([path, list]) => {
        const commands = path === "" ? [] : path.split(" ");
        const seen = commands.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
        const condition = seen === "" ? "__fish_use_subcommand" : seen;
        return list.map((word) =>
          word.startsWith("--")
            ? `complete -c kindling -n "${condition}" -l ${word.slice(2)}`
            : `complete -c kindling -n "${condition}" -a ${word}`,
        );
      })
      .join("\n")
      .concat("\n"),
};
