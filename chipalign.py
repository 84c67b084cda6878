"""The `chipalign` command: one table of subcommands, each imported only when it is called.

It knows no subcommand's options (each parses its own) and imports no heavy library, so `chipalign --help` answers at
once.

    chipalign ask "Which option of global_route fixes antenna violations?"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module

from rag.printable import printable

LINES = "\n\t"  # what an error that lists several things may hold; nothing else in it may steer the terminal
Table = dict[str, tuple[str, str, str]]  # name: (module, function, what it does)
COMMANDS: Table = {
    "up": ("serve.running.commands", "up", "prepare models and index, then run engine, gateway and page until Ctrl-C"),
    "ask": ("ui.terminal.commands", "ask", "ask a question in the terminal"),
    "page": ("ui.terminal.commands", "page", "run the Streamlit chat page"),
    "slack": ("ui.terminal.commands", "slack", "run the Slack bot"),
    "serve": ("serve.running.commands", "serve", "run the OpenAI-compatible gateway"),
    "mcp": ("serve.running.mcp_commands", "mcp", "give an editor or an agent the documentation as tools (MCP, stdio)"),
    "merge": ("merge.commands.merge_commands", "merge", "merge a chip model and a chat model into one checkpoint"),
    "corpus": ("rag.commands.corpus_commands", "corpus", "list or fetch the pinned documentation"),
    "index": ("rag.commands.index_commands", "index", "build, search, look into or take apart an index of documents"),
    "reference": (
        "rag.commands.reference_commands",
        "reference",
        "what the documents say of a command, option, variable or message; export for tclint",
    ),
    "lexicon": (
        "rag.commands.lexicon_commands",
        "lexicon",
        "what engineers say and what manuals say: look it up, propose more from your documents",
    ),
    "adapt": ("chipalign", "adapt", "adapt a model to your documents: `chipalign adapt` lists which"),
    "eval": (
        "chipalign",
        "evaluate",
        "measure how good retrieval, answers and models are: `chipalign eval` lists the evaluations",
    ),
    "store": (
        "serve.running.store_commands",
        "store",
        "what a gateway has stored: how much, the feedback that it kept, and forgetting what is old",
    ),
    "bench": ("serve.running.commands", "bench", "measure merge, index, retrieval and time to first token"),
    "doctor": (
        "serve.running.commands",
        "doctor",
        "report what is installed, what would run, what is missing and how to get it",
    ),
}
# The first argument of `chipalign eval`; each belongs to the package that knows what it measures
EVALUATIONS: Table = {
    "retrieval": (
        "serve.evaluation.retrieval.retrieval_commands",
        "retrieval",
        "recall, MRR and nDCG of the search, and how well it knows what it cannot answer",
    ),
    "leftout": (
        "serve.evaluation.retrieval.leftout_commands",
        "leftout",
        "the same on document sets that nothing was trained on or chosen with: fetched, indexed and asked",
    ),
    "qa": (
        "serve.evaluation.qa.qa_commands",
        "qa",
        "ROUGE-L of a model's answers to questions about documents, and whether they name the right commands",
    ),
    "answers": (
        "serve.evaluation.answers.answer_commands",
        "answers",
        "a running gateway's answers: key facts, wrong claims, refusals, loops, names from nowhere",
    ),
    "prompts": (
        "serve.evaluation.prompts.prompt_commands",
        "prompts",
        "how often the gateway knows a question for the documents from a task on the prompt's own text",
    ),
    "ifeval": (
        "serve.evaluation.model.model_commands",
        "ifeval",
        "how well a served model follows instructions, by IFEval's prompts and checks",
    ),
    "mcq": (
        "serve.evaluation.model.model_commands",
        "mcq",
        "what a served model knows: multiple-choice questions, answered by likelihood",
    ),
    "multiturn": (
        "serve.evaluation.model.multiturn_commands",
        "multiturn",
        "a served model in conversations of two turns: rules that a program checks, and a judge's scores",
    ),
    "table": (
        "serve.evaluation.experiment.experiment_commands",
        "table",
        "a chip model, a chat model and their merges by every method, measured by qa, ifeval and mcq",
    ),
    "sweep": (
        "serve.evaluation.experiment.experiment_commands",
        "sweep",
        "the same measures along lam, from the chat model to the chip model, geodesic beside linear",
    ),
    "search": (
        "serve.evaluation.experiment.search_commands",
        "search",
        "the lam that suits two goals best, as `chipalign merge search`, with merges that an engine serves",
    ),
}

ADAPTATIONS: Table = {
    "model": (
        "merge.training.model_commands",
        "model",
        "make a chip model of a chat model: train it on your documents, and on questions about them",
    ),
    "retriever": (
        "rag.commands.retriever_commands",
        "retriever",
        "train an adapter of the embedder on pairs made from your documents",
    ),
    "reader": (
        "rag.commands.reader_commands",
        "reader",
        "train the reader that says which passage, and what of it, answers a question",
    ),
    "triplets": (
        "merge.training.triplet_commands",
        "triplets",
        "make questions with passages and answers, to train a chat model on, from your documents",
    ),
}


def usage(prog: str, table: Table) -> str:
    """The help text: every command of the table with its one line."""
    width = max(8, *map(len, table))
    lines = [f"  {name:<{width}} {purpose}" for name, (_, _, purpose) in table.items()]
    return (
        f"usage: {prog} COMMAND ...\n\ncommands:\n"
        + "\n".join(lines)
        + f"\n\n`{prog} COMMAND --help` shows a command's options.\n"
    )


def run_command(prog: str, table: Table, arguments: list[str]) -> int:
    """Run the command that the first argument names, with the other arguments.

    Returns its exit code; 2 where the table has no such command.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage(prog, table))
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in table:
        sys.stderr.write(f"{prog}: there is no command {name!r}; the commands are {', '.join(table)}.\n")
        return 2
    module, function, _ = table[name]
    command: Callable[[list[str]], int] = getattr(import_module(module), function)
    return command(rest)


def adapt(argv: list[str]) -> int:
    """`chipalign adapt NAME ...`: one of the adaptations."""
    return run_command("chipalign adapt", ADAPTATIONS, argv)


def evaluate(argv: list[str]) -> int:
    """`chipalign eval NAME ...`: one of the evaluations."""
    return run_command("chipalign eval", EVALUATIONS, argv)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code.

    0: done; 2: the input is wrong, said in one line; 130: interrupted; 1 (a traceback): a bug. `ask` also has 3:
    nothing found.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return run_command("chipalign", COMMANDS, arguments)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:  # `chipalign ask ... | head`: nobody reads on, which is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, as shells report it
    except Exception as error:
        # The packages' own errors carry one: their message says it all
        exit_code = getattr(error, "exit_code", None)
        if exit_code is None:
            raise
        sys.stderr.write(f"chipalign {arguments[0]}: {printable(str(error), keep=LINES)}\n")
        return int(exit_code)


if __name__ == "__main__":
    sys.exit(main())
