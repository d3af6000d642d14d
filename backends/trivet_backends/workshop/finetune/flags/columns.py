"""Which columns of a file are read: flags that every command with labelled files has."""

from __future__ import annotations

import argparse

from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.flags import values


def declare(group: argparse._ArgumentGroup) -> None:
    """Add the flags to their group."""
    add, usual = group.add_argument, Columns()
    add("--text-column", metavar="NAME", default=usual.text, help="(default: text)")
    add("--pair-column", metavar="NAME", default="", help="a second text (default: none)")
    add("--label-column", metavar="NAME", default=usual.label, help="(default: label)")
    add(
        "--label-separator",
        metavar="TEXT",
        type=values.some,
        default=usual.separator,
        help="multi_label: what stands between a text's labels, where they are no JSON list; an "
        "empty field is no label (default: |)",
    )
    add("--question-column", metavar="NAME", default=usual.question, help="(default: question)")
    add("--passage-column", metavar="NAME", default=usual.passage, help="(default: passage)")
    add("--answer-column", metavar="NAME", default=usual.answer, help="(default: answer)")
    add("--start-column", metavar="NAME", default=usual.start, help="(default: start, if there)")
    add(
        "--words-column",
        metavar="NAME",
        help="tag_tokens: a name, or CoNLL's number (default: words; 1)",
    )
    add(
        "--tags-column",
        metavar="NAME",
        help="tag_tokens: a name, or CoNLL's number (default: tags; the last)",
    )


def columns_of(args: argparse.Namespace) -> Columns:
    """What they say."""
    usual, numbers = Columns(), {}
    for field, given in (("word_number", args.words_column), ("tag_number", args.tags_column)):
        if given is not None and given.lstrip("-").isdecimal() and int(given):
            numbers[field] = int(given)
    return Columns(
        text=args.text_column,
        pair=args.pair_column,
        label=args.label_column,
        separator=args.label_separator,
        words=args.words_column or usual.words,
        tags=args.tags_column or usual.tags,
        question=args.question_column,
        passage=args.passage_column,
        answer=args.answer_column,
        start=args.start_column,
        **numbers,
    )
