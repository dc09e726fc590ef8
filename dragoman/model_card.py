"""The model card of a bundle, written from its manifest alone (so it can be written again, byte for byte)."""

from dragoman.manifest import Manifest


def model_card(manifest: Manifest) -> str:
    """The card as Markdown, with the metadata block that model hubs read."""
    pair = f"{manifest.languages.source} to {manifest.languages.target}"
    provenance = manifest.provenance
    origin = f"fine-tuned from {provenance.base_model}" if provenance.base_model else "trained from random weights"
    lines = [
        "---",
        f"language: [{manifest.languages.source}, {manifest.languages.target}]",
        f"pipeline_tag: {manifest.task}",
        "---",
        f"# {manifest.name}",
        "",
        f"A T5 for {manifest.task} from {pair}, {origin}. `python -m dragoman info` on its bundle prints the version.",
        "",
        "## Scores",
        "",
        *_score_table(manifest),
        "",
        "## How to use it",
        "",
        "```python",
        "import dragoman",
        "",
        'translate = dragoman.load("path/to/bundle")',
        'print(translate(["A sentence of the source language."])[0])',
        "```",
        "",
        "## Limits",
        "",
        f"- A text may have {manifest.limits.max_characters} characters. It is translated sentence by sentence, and a "
        f"sentence of more than {manifest.limits.max_source_tokens} tokens in parts.",
        f"- The translation of a sentence ends after {manifest.decoding.max_new_tokens} tokens unless the request says "
        f"otherwise (at most {manifest.limits.max_new_tokens}); `finish_reason` is then `length`.",
        "- The scores hold for texts like the test set's; other domains will do worse.",
        "",
        "## Where it comes from",
        "",
        f"- MLflow run: {provenance.mlflow_run_id or 'not tracked'}",
        f"- Code: {provenance.git_commit or 'not under version control'}",
        f"- Configuration: sha256:{provenance.config_digest} (`config.yaml` in this bundle)",
        f"- Corpus: {provenance.corpus_fingerprint}",
        *([f"- Settings found by: {provenance.study}"] if provenance.study else []),
        "",
    ]
    return "\n".join(lines)


def _score_table(manifest: Manifest) -> list[str]:
    if not manifest.scores:
        return ["Not scored."]
    rows = [
        f"| {score.metric} | {score.value:.2f} | {score.low:.2f} to {score.high:.2f} | {score.test_set} "
        f"({score.segments}) | {score.engine} | `{score.signature}` |"
        for score in manifest.scores
    ]
    return [
        "| metric | score | 95 % interval | test set (segments) | engine | signature |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
