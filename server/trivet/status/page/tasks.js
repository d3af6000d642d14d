// The tasks of TextService: what each asks for, how that becomes a request, how its answer is shown.
// The names of fields are those of the .proto file.

import * as results from "/page/results.js";

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

const TEXT = { name: "text", label: "Text", rows: 3 };
const TRUNCATE = { name: "truncate", label: "Cut what is longer than the model takes", kind: "check" };
const TOP = (value) => ({ name: "top_k", label: "How many", kind: "number", value, min: 1, max: 50 });
const PAIR = { name: "pair", label: "Second text, for models of pairs", rows: 2, optional: true };

/** By name: title, the model that is asked unless another is named, fields, request, show. */
export const TASKS = {
  FillMask: {
    title: "Fill mask",
    model: "fill_mask",
    fields: [
      {
        ...TEXT,
        value: "He opened the [MASK] and walked into the room.",
        hint: "[MASK] stands for each word to be found",
      },
      TOP("5"),
      TRUNCATE,
    ],
    request: (f) => ({ texts: [f.text], top_k: Number(f.top_k) || 0, truncate: f.truncate }),
    show: results.masks,
  },
  Embed: {
    title: "Embed",
    model: "embed",
    fields: [{ ...TEXT, value: "A cat sat on the mat." }, TRUNCATE],
    request: (f) => ({ texts: [f.text], truncate: f.truncate }),
    show: results.vector,
  },
  Similarity: {
    title: "Similarity",
    model: "embed",
    fields: [
      { ...TEXT, value: "A cat sat on the mat.", rows: 2 },
      {
        name: "others",
        label: "Compared with, one in a line",
        rows: 3,
        value: "There is a kitten on the rug.\nStocks fell on Monday.",
      },
      TRUNCATE,
    ],
    request: (f) => ({ texts: [f.text], others: lines(f.others), truncate: f.truncate }),
    show: results.similarities,
  },
  ZeroShot: {
    title: "Zero shot",
    model: "embed",
    fields: [
      { ...TEXT, value: "The goalkeeper saved a penalty in the last minute." },
      { name: "labels", label: "Labels, one in a line", rows: 3, value: "sports\npolitics\ncooking" },
      {
        name: "template",
        label: "Sentence about a label",
        kind: "line",
        placeholder: "This text is about {}.",
        optional: true,
      },
      { name: "multi_label", label: "Each label for itself", kind: "check" },
      TRUNCATE,
    ],
    request: (f) => ({
      texts: [f.text],
      labels: lines(f.labels),
      template: f.template,
      multi_label: f.multi_label,
      truncate: f.truncate,
    }),
    show: results.labels,
  },
  FewShot: {
    title: "Few shot",
    model: "embed",
    fields: [
      { ...TEXT, value: "My parcel still has not come." },
      {
        name: "examples",
        label: "Examples, one in a line, as label: text",
        rows: 4,
        value: [
          "delivery: Where is my order?",
          "delivery: The courier never came.",
          "payment: I was charged twice.",
          "payment: My card is refused.",
        ].join("\n"),
      },
      TRUNCATE,
    ],
    request: (f) => ({ texts: [f.text], examples: lines(f.examples).map(example), truncate: f.truncate }),
    show: results.labels,
  },
  Classify: {
    title: "Classify",
    model: "classify",
    fields: [{ ...TEXT, value: "A warm, funny film." }, PAIR, TRUNCATE],
    request: (f) => ({ texts: [f.text], text_pairs: f.pair ? [f.pair] : [], truncate: f.truncate }),
    show: results.labels,
  },
  TagTokens: {
    title: "Tag tokens",
    model: "tag_tokens",
    fields: [{ ...TEXT, value: "Ada Lovelace lived in London." }],
    request: (f) => ({ texts: [f.text] }),
    show: results.spans,
  },
  Answer: {
    title: "Answer",
    model: "answer",
    fields: [
      { name: "question", label: "Question", kind: "line", value: "Who wrote the first program?" },
      {
        name: "passage",
        label: "Passage",
        rows: 5,
        value: "Ada Lovelace wrote the first program in 1843. Charles Babbage designed the machine.",
      },
      TOP("3"),
    ],
    request: (f) => ({ questions: [f.question], passages: [f.passage], top_k: Number(f.top_k) || 0 }),
    show: results.answers,
  },
  NextSentence: {
    title: "Next sentence",
    model: "next_sentence",
    fields: [
      { ...TEXT, label: "First text", rows: 2, value: "She put the kettle on." },
      { name: "next", label: "Does this follow?", rows: 2, value: "Soon the tea was ready." },
      TRUNCATE,
    ],
    request: (f) => ({ texts: [f.text], next_texts: [f.next], truncate: f.truncate }),
    show: results.follows,
  },
  Tokenize: {
    title: "Tokenize",
    model: "tokenize",
    fields: [
      { ...TEXT, value: "Tokenizers split unusual words." },
      { ...PAIR, label: "Second text, if it is a pair" },
      TRUNCATE,
    ],
    request: (f) => ({ texts: [f.text], text_pairs: f.pair ? [f.pair] : [], truncate: f.truncate }),
    show: results.tokens,
  },
  Detokenize: {
    title: "Detokenize",
    model: "detokenize",
    fields: [
      {
        name: "ids",
        label: "Token ids",
        rows: 2,
        value: "101 7592 2088 102",
        hint: "whole numbers, apart by blanks or commas",
      },
      { name: "keep_special", label: "Leave special tokens in", kind: "check" },
    ],
    request: (f) => ({
      token_lists: [{ ids: f.ids.split(/[\s,]+/).filter(Boolean) }],
      keep_special: f.keep_special,
    }),
    show: results.text,
  },
};

function example(line) {
  const place = line.indexOf(":");
  if (place < 0) throw new Error(`"${line}" has no label; write it as label: text`);
  return { label: line.slice(0, place).trim(), text: line.slice(place + 1).trim() };
}
