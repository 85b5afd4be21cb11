"""Tiny tokenizers for the model fixtures: trained here on a few lines of our own, written as tokenizer.json and as GGUF
metadata, with the ids that Hugging Face tokenizers gives for some strings."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = """\
A research paper is read as one long prefix, and the questions about the paper are short branches of the prefix.
The attention of each token runs over the keys and the values of all the tokens before it. The method is exact.
def attend(query, keys, values):
    weights = softmax(query @ keys.T)
    return weights @ values
論文を読む。論文は長い。問いは短い。問いごとに論文を読み直すのではなく、一度だけ読む。
for (i, row) in rows.iter().enumerate() { total += row * 1024; }
In 2017, 8 heads of 64 dimensions; in 2024, 14 heads over 2 groups.
"""

STRINGS = [
    "The paper is long, and the questions are short.",
    "  Two spaces, then\n\n\nthree lines\tand a tab. ",
    "論文を読む。短い問い、長い答え！",
    "def attend(q):\n    return q + 1\n",
    "3.14159 and 20241122",
    "don't WE'LL naïve cafe\u0301 🙂",
    "<|im_start|>user\nHello<|im_end|>\n",
    "",
]

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

CHAT = [
    {"role": "system", "content": "You read papers."},
    {"role": "user", "content": "論文は何の問題を解くか。\nAnswer in one sentence."},
]

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def special(text):
    return AddedToken(text, special=True, normalized=False)


def smollm(vocab_size):
    """Byte-level BPE with SmolLM2's pre-tokenizer; special tokens have the first ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    train(tokenizer, vocab_size, [special(text) for text in SPECIALS])
    return tokenizer


def qwen2(vocab_size):
    """Byte-level BPE with Qwen2's pre-tokenizer and NFC; special tokens have the last ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    train(tokenizer, vocab_size - len(SPECIALS), [])
    tokenizer.add_special_tokens([special(text) for text in SPECIALS])
    return tokenizer


def train(tokenizer, vocab_size, specials):
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)


def write(tokenizer, folder):
    """tokenizer.json, tokenizer_config.json and the reference ids."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_bos_token": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "chat_template": CHAT_TEMPLATE,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_reference(tokenizer, folder)


def write_reference(tokenizer, folder):
    def encoded(text):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}

    import jinja2

    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(CHAT_TEMPLATE)
    rendered = template.render(messages=CHAT, add_generation_prompt=True)
    reference = {
        "strings": [encoded(text) for text in STRINGS],
        "chat": {"messages": CHAT, "add_generation_prompt": True, **encoded(rendered)},
    }
    text = json.dumps(reference, ensure_ascii=False, indent=1)
    (folder / "tokens.json").write_text(text + "\n", encoding="utf-8")


def add_to_gguf(writer, tokenizer, pre, vocab_size):
    """The same vocabulary as llama.cpp's converter writes it: ids that the tokenizer lacks become unused [PADn]."""
    from gguf import TokenType

    model = json.loads(tokenizer.to_str())["model"]
    names = {id: text for text, id in tokenizer.get_vocab(with_added_tokens=True).items()}
    tokens = [names.get(id, f"[PAD{id}]") for id in range(vocab_size)]

    def kind(id):
        if id not in names:
            return TokenType.UNUSED
        return TokenType.CONTROL if names[id] in SPECIALS else TokenType.NORMAL

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([kind(id) for id in range(vocab_size)])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(tokenizer.token_to_id("<|im_start|>"))
    writer.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def sentencepiece(vocab_size):
    """A SentencePiece-style BPE: "▁" for spaces, byte fallback, every token's score its rank below zero.

    Every pair of tokens that makes a token is a merge, ranked as that token, so that merging by scores (GGUF) and by
    merges (tokenizer.json) is the same thing."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 259, show_progress=False)
    trained.train_from_iterator([" " + line for line in CORPUS.splitlines()], trainer)

    ranked = sorted(trained.get_vocab(), key=lambda text: trained.token_to_id(text))
    pieces = [text for text in ranked if len(text) > 1] + [text for text in ranked if len(text) == 1]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + pieces
    vocab = {text: id for id, text in enumerate(tokens)}
    merges = [
        (text[:cut], text[cut:])
        for text in pieces
        for cut in range(1, len(text))
        if text[:cut] in pieces and text[cut:] in pieces
    ]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    tokenizer.add_special_tokens([special(text) for text in tokens[:3]])
    return tokenizer


def write_sentencepiece(tokenizer, folder):
    """tokenizer.json, a GGUF file of metadata only, and the reference ids."""
    from gguf import GGUFWriter, TokenType

    names = {id: text for text, id in tokenizer.get_vocab().items()}
    tokens = [names[id] for id in range(len(names))]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.BYTE] * 256
    kinds += [TokenType.NORMAL] * (len(tokens) - len(kinds))
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(tokens) - 259)]

    writer = GGUFWriter(folder / "vocabulary.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    tokenizer.save(str(folder / "tokenizer.json"))
    strings = [text for text in STRINGS if "<|" not in text]
    encoded = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in strings]
    reference = {"strings": [{**each, "decoded": tokenizer.decode(each["ids"])} for each in encoded]}
    text = json.dumps(reference, ensure_ascii=False, indent=1)
    (folder / "tokens.json").write_text(text + "\n", encoding="utf-8")


# What cuts text into pieces, as the models' publishers give it: GPT-2's encoder.py, LLaMA 3's tokenizer.py, the
# tokenizer.json of Qwen2 and LFM2, tiktoken's o200k_base (GPT-4o, Phi-4-mini), Mistral's tekken.json.
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K_PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# By the names that GGUF gives the rules; several are put to the text one after the other.
PATTERNS = {
    "gpt-2": [GPT2_PATTERN],
    "smollm": [r"\p{N}", GPT2_PATTERN],
    "qwen2": [QWEN2_SPLIT],
    "llama-bpe": [LLAMA3_PATTERN],
    "lfm2": [LLAMA3_PATTERN],
    "gpt-4o": [O200K_PATTERN],
    "tekken": [TEKKEN_PATTERN],
}
HARD_STRINGS = STRINGS[:-1] + [
    "getHTTPResponseCode SmolLM2 arXiv:2404.06654v2 F1-Score's I'LL they'd",
    "https://example.org/a/b?c=1//\r\n\r\n  x\t y   ",
    "Ελληνικά ÉCOLE ǅungla हिन्दी ภาษาไทย ١٢٣٤ Ⅷ x² — …！？",
    "\u00a0no-break\u3000wide 　 \n\n\n 12,345.678 'Tis",
]


def cut(patterns, text):
    """The pieces of `text`: what a pattern finds, and what lies between."""
    import regex

    pieces = [text]
    for pattern in patterns:
        found = [(piece, [match.span() for match in regex.finditer(pattern, piece)]) for piece in pieces]
        pieces = []
        for piece, spans in found:
            ends = sorted({0, len(piece), *(end for span in spans for end in span)})
            pieces += [piece[start:end] for start, end in zip(ends, ends[1:])]
    return pieces


def write_pre_tokenizers(path):
    pieces = {name: [cut(patterns, text) for text in HARD_STRINGS] for name, patterns in PATTERNS.items()}
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(rows, ensure_ascii=False)}" for name, rows in pieces.items())
    texts = json.dumps(HARD_STRINGS, ensure_ascii=False)
    path.write_text(f'{{"texts":{texts},"pieces":{{\n{lines}\n}}}}\n', encoding="utf-8")
