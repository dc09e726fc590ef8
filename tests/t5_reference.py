"""Random T5s whose sequences end at many lengths, and their outputs by ``generate`` of transformers."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, T5Config, T5ForConditionalGeneration

from dragoman.engines.seq2seq import Decoding, Hypothesis
from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.weights import load_weights
from dragoman.text.tokenizer import EOS_ID, PAD_ID

VOCABULARY = 90
MAX_SOURCE, MAX_TARGET = 40, 30


def write_random_t5(folder: Path, *, seed: int = 1, **config: object) -> Path:
    """Save a model of two layers and a few thousand weights; ``config`` changes its T5Config."""
    torch.manual_seed(seed)
    sizes = {"d_model": 24, "d_kv": 8, "d_ff": 48, "num_heads": 3, "num_layers": 2, "num_decoder_layers": 3}
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=VOCABULARY, dropout_rate=0.0, decoder_start_token_id=PAD_ID, **{**sizes, **config})
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Plain random weights repeat one token whatever the source says: make what layers add outweigh the token.
            if "Attention" in name or name.endswith(".wo.weight"):
                weight.mul_(3.0)
        model.shared.weight.mul_(0.3)
        model.decoder.final_layer_norm.weight.mul_(4.0)
        # A longer row is the largest more often, so that sequences end.
        model.shared.weight[EOS_ID].mul_(1.8)
    model.save_pretrained(folder)
    return folder


def open_model(folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> T5Model:
    """Load the same weights into our own decoder."""
    with torch.inference_mode():
        return T5Model(load_weights(folder, device=device, dtype=dtype), max_source=MAX_SOURCE, max_target=MAX_TARGET)


class Generate:
    """``generate`` in float32, one source at a time."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        self._model = T5ForConditionalGeneration.from_pretrained(folder).to(device).eval()
        self._device = device

    @torch.inference_mode()
    def __call__(self, ids: Sequence[int], decoding: Decoding, num_hypotheses: int) -> list[Hypothesis]:
        """Return the hypotheses with their length-normalised scores."""
        output = self._model.generate(
            input_ids=torch.tensor([list(ids)], device=self._device),
            # Transformers itself counts the encoder's layers, and fails on a decoder that has more.
            past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            generation_config=GenerationConfig(
                num_beams=decoding.num_beams,
                num_return_sequences=num_hypotheses,
                max_new_tokens=decoding.max_new_tokens,
                length_penalty=decoding.length_penalty,
                do_sample=False,
                pad_token_id=PAD_ID,
                eos_token_id=EOS_ID,
                decoder_start_token_id=PAD_ID,
                return_dict_in_generate=True,
                output_scores=True,
            ),
        )
        rows = [_until_end(row) for row in output.sequences[:, 1:].tolist()]
        if decoding.num_beams > 1:
            scores = output.sequences_scores.tolist()
        else:
            steps = self._model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
            scores = [float(steps[0].sum()) / len(rows[0]) ** decoding.length_penalty]
        return [_hypothesis(row, score) for row, score in zip(rows, scores, strict=True)]


def _until_end(row: list[int]) -> list[int]:
    return row[: row.index(EOS_ID) + 1] if EOS_ID in row else row


def _hypothesis(row: list[int], score: float) -> Hypothesis:
    finished = row[-1] == EOS_ID
    return Hypothesis(tuple(row[:-1] if finished else row), score, finished)
