"""Text to token ids, with a `tokenizer.json` as Hugging Face's `tokenizers` library writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trivet.backend.contract import LoadContext, Signature
from trivet.config import ModelConfig, TensorSpec
from trivet_backends.checks import batches, check_names
from trivet_backends.parameters import Parameter, Reader, one_of, text, whole
from trivet_backends.tokenizers.encoder import Encoder, Limits
from trivet_backends.tokenizers.fitting import Fit, LongText, Truncation
from trivet_backends.tokenizers.instance import TARGET_IDS, TEXT, TEXT_PAIR, TokenizerInstance
from trivet_backends.tokenizers.sharing import Opened, open_tokenizer
from trivet_backends.tokenizers.targets import TARGET, Targets
from trivet_backends.tokenizers.tensors import PLACES, WINDOW, Vocabulary, Writer

if TYPE_CHECKING:
    import tokenizers

MAX_TOKENS = whole(
    "max_tokens", 512, "Positions of the model, special tokens included.", at_least=3
)
# 64 bytes a token are ten times what prose needs, and keep the worst text (nothing but one-letter
# words) under 15 ms of tokenizing. Without a limit a text of 1 MB takes 450 ms.
MAX_TEXT_BYTES = whole(
    "max_text_bytes", 0, "Bytes of a text that are read at most; 0: 64 for each of max_tokens."
)
MASK_TOKEN = text(
    "mask_token", "", "The token to be predicted; default: [MASK] or <mask>, whichever there is."
)
LONG_TEXT = one_of(
    "long_text",
    {str(choice): choice for choice in LongText},
    LongText.REFUSE,
    "What becomes of a text longer than max_tokens; window needs the output window.",
)
TRUNCATION = one_of(
    "truncation",
    {str(choice): choice for choice in Truncation},
    Truncation.LONGEST_FIRST,
    "Which text of a pair is cut.",
)
MAX_WINDOWS = whole(
    "max_windows", 64, "Windows over the texts of a request, the rows of what follows.", at_least=1
)
PARAMETERS: tuple[Parameter[Any], ...] = (
    MAX_TOKENS,
    MAX_TEXT_BYTES,
    MASK_TOKEN,
    LONG_TEXT,
    TRUNCATION,
    MAX_WINDOWS,
)

_BYTES_PER_TOKEN = 64
_ALWAYS = ("input_ids", "attention_mask", "token_type_ids")
_ON_DEMAND = ("special_tokens_mask", "tokens", "offsets", "word_ids", "sequence_ids")  # likewise
_OF_ROWS = {WINDOW: 2, "texts": 1}  # and their sizes
_OUTPUTS = {  # and the symbol of their first dimension
    **dict.fromkeys((*_ALWAYS, *_ON_DEMAND), "tokens"),
    "mask_positions": "masks",
    TARGET_IDS: "targets",
    **dict.fromkeys(_OF_ROWS, ""),
}


class TokenizersBackend:
    """Opens `tokenizer.json`, or the file named in default_model_filename."""

    def open(self, config: ModelConfig, context: LoadContext) -> TokenizerArtifact:
        """Open a version's tokenizer.

        Raises InvalidConfig: library not installed, file missing or broken, an output that is none
        of ours, a parameter out of its range, no mask token where mask_positions is asked for.
        """
        check_names(config, inputs=(TEXT, TEXT_PAIR, TARGET), outputs=tuple(_OUTPUTS))
        opened = open_tokenizer(config, context)
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        limits = _limits(reader)
        vocabulary = _vocabulary(opened, reader.value(MASK_TOKEN))
        outputs = tuple(spec.name for spec in config.outputs) or _ALWAYS
        if "mask_positions" in outputs and vocabulary.mask_id is None:
            what = f"'{vocabulary.mask_token}' is not in the vocabulary"
            reader.fault(MASK_TOKEN.name, what, "name the token to be predicted")
        fit = _fit(reader, limits, can_slide=WINDOW in outputs)
        if fit.long_text is LongText.WINDOW and not fit.can_slide:
            what = "is 'window', but nobody is told of the windows"
            reader.fault(LONG_TEXT.name, what, "add the output 'window'")
        reader.done()
        inputs = tuple(spec.name for spec in config.inputs)
        told = _signature(inputs, outputs, batches=batches(config))
        encoder = Encoder(opened.tokenizer, limits, places=not PLACES.isdisjoint(outputs))
        return TokenizerArtifact(opened, encoder, vocabulary, fit, told)


class TokenizerArtifact:
    """One tokenizer, shared by its instances."""

    def __init__(
        self,
        opened: Opened,
        encoder: Encoder,
        vocabulary: Vocabulary,
        fit: Fit,
        told: Signature,
    ) -> None:
        self._opened = opened  # others find it as long as somebody has it
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._fit = fit
        self._targets = Targets(opened.tokenizer)
        self._signature = told

    @property
    def signature(self) -> Signature:
        """TEXT, TEXT_PAIR and TARGET if the config names them, and the outputs it asks for; if it
        names none, those that every model needs."""
        return self._signature

    @property
    def digest(self) -> bytes:
        """Of the tokenizer's file."""
        return self._opened.digest

    def instance(self, config: ModelConfig) -> TokenizerInstance:
        names = frozenset(spec.name for spec in config.outputs)
        writer = Writer(self._vocabulary, names, batches=config.max_batch_size > 0)
        targets = self._targets if TARGET_IDS in names else None
        return TokenizerInstance(self._encoder, writer, self._fit, targets)

    def close(self) -> None:
        """The vocabulary goes with the last one who refers to it."""


def _signature(names: Sequence[str], outputs: Sequence[str], *, batches: bool) -> Signature:
    batch = TensorSpec(name="", datatype="", dims=(-1,) * batches, symbols=("batch",) * batches)
    inputs = [_spec(TEXT, "BYTES", batch)]
    if TEXT_PAIR in names:
        inputs.append(_spec(TEXT_PAIR, "BYTES", batch, optional=True))
    if TARGET in names:
        inputs.append(_spec(TARGET, "BYTES", batch, dim=-1, symbol="targets", optional=True))
    return Signature(inputs=tuple(inputs), outputs=tuple(_told(name, batch) for name in outputs))


def _told(name: str, batch: TensorSpec) -> TensorSpec:
    datatype = "BYTES" if name in ("tokens", "texts") else "INT64"
    if size := _OF_ROWS.get(name):
        return _spec(name, datatype, batch, dim=size)
    spec = _spec(name, datatype, batch, dim=-1, symbol=_OUTPUTS[name])
    if name == "offsets":  # begin and end
        return replace(spec, dims=(*spec.dims, 2), symbols=(*spec.symbols, ""))
    return spec


def _spec(
    name: str,
    datatype: str,
    batch: TensorSpec,
    *,
    dim: int = 1,
    symbol: str = "",
    optional: bool = False,
) -> TensorSpec:
    """A tensor of one dimension, behind those of `batch`."""
    dims, symbols = (*batch.dims, dim), (*batch.symbols, symbol)
    return TensorSpec(name=name, datatype=datatype, dims=dims, symbols=symbols, optional=optional)


def _limits(reader: Reader) -> Limits:
    max_tokens = reader.value(MAX_TOKENS)
    max_text_bytes = reader.value(MAX_TEXT_BYTES) or _BYTES_PER_TOKEN * max_tokens
    return Limits(max_tokens=max_tokens, max_text_bytes=max_text_bytes)


def _fit(reader: Reader, limits: Limits, *, can_slide: bool) -> Fit:
    return Fit(
        long_text=reader.value(LONG_TEXT),
        truncation=reader.value(TRUNCATION),
        most=limits.max_tokens,
        max_windows=reader.value(MAX_WINDOWS),
        can_slide=can_slide,
    )


def _vocabulary(opened: Opened, mask_token: str) -> Vocabulary:
    """Find pad and mask, which tokenizer.json has no fields for but its padding's."""
    tokenizer, padding = opened.tokenizer, opened.padding
    mask_token = mask_token or _present(tokenizer, "[MASK]", "<mask>")
    pad_id = padding.get("pad_id", tokenizer.token_to_id(_present(tokenizer, "[PAD]", "<pad>")))
    return Vocabulary(
        pad_id=pad_id or 0,
        pad_type_id=padding.get("pad_type_id", 0),
        mask_token=mask_token,
        mask_id=tokenizer.token_to_id(mask_token),
    )


def _present(tokenizer: tokenizers.Tokenizer, *names: str) -> str:
    """The first of these tokens that the vocabulary has; the first of all if it has none."""
    return next((name for name in names if tokenizer.token_to_id(name) is not None), names[0])
