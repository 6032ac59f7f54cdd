"""The languages of the declaration, the tasks made of them, and the learners that count letters."""

import itertools
import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils import checkpoints
from course_utils.learners import FOMAML, FineTune, Mixture, NGram, ProtoNet, per_task
from course_utils.learners.language import write
from course_utils.losses import IGNORE, accuracy, cross_entropy
from course_utils.networks import GRULanguageModel, LetterPairs, Scale
from course_utils.tasks import Sentences, Snippets
from course_utils.tasks.languages import (
    LETTERS,
    START,
    SYMBOLS,
    UNKNOWN,
    decode,
    encode,
    find,
    load,
    plain,
    spans,
)  # fmt: skip

SPLITS = ("train", "validation", "test")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def texts(x, y):
    """The rows of (n, L) as plain text, one for each that is not all padding."""
    return ["".join(LETTERS[s - 2] if s > 1 else "?" for s in row[row != IGNORE]) for row in y
            if (row != IGNORE).any()]  # fmt: skip


# --- the data ------------------------------------------------------------------------------------


def test_no_family_and_no_language_is_in_two_splits():
    families = defaultdict(set)
    for language in load():
        assert bool(language.family) == bool(language.split)
        if language.split:
            families[language.family].add(language.split)
    assert set(itertools.chain(*families.values())) == set(SPLITS)
    assert all(len(splits) == 1 for splits in families.values())
    assert len({x.iso for x in load()}) == len(load()) == 414


def test_no_two_languages_have_one_text():
    seen = defaultdict(Counter)
    for language in load():
        for sentence in language.sentences:
            if len(sentence) > 60:
                seen[sentence][language.iso] += 1
    shared = Counter()
    for owners in seen.values():
        shared.update(itertools.combinations(sorted(owners), 2))
    for (one, other), number in shared.items():
        fewer = min(len(find(one).sentences), len(find(other).sentences))
        assert number < 0.15 * fewer, (one, other)


def test_documents_are_whole_and_tidy():
    for language in load():
        assert len(language.sentences) >= 50 == len(set(language.sentences[:50]))
        assert all(len(s) >= 20 and s == s.strip() and "<" not in s for s in language.sentences)
        assert -90 <= language.latitude <= 90 and -180 <= language.longitude <= 180


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="no language has the code 'xyz'"):
        find("xyz")


# --- text and numbers ----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet=LETTERS[:40], min_size=1), length=st.integers(1, 30))
def test_decoding_undoes_encoding(text, length):
    if not text.strip():
        return
    x, y = encode([text], length)
    kept = plain(text)[:length]
    assert plain(decode(y[0][y[0] != IGNORE])) == plain(kept)
    assert x[0, 0] == START and torch.equal(x[0, 1 : len(kept)], y[0, : len(kept) - 1])


def test_accents_are_symbols_of_their_own_and_unknown_letters_are_not_judged():
    x, y = encode(["Ớ 漢a"], 8)
    accents = [LETTERS.index(c) + 2 for c in "o\u031b\u0301 "]
    assert y[0].tolist() == [*accents, IGNORE, LETTERS.index("a") + 2, IGNORE, IGNORE]
    assert x[0].tolist() == [START, *accents, UNKNOWN, START, START]
    assert decode(torch.tensor(accents)) == "ớ " and decode([UNKNOWN]) == "�"


def test_an_empty_sentence_is_refused():
    with pytest.raises(ValueError, match="sentence 2 is empty"):
        encode(["kaikki", " "])


# --- the tasks -----------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(
    shots=st.integers(0, 20),
    queries=st.integers(0, 12),
    span=st.sampled_from([None, 15, 20]),
    split=st.sampled_from(SPLITS),
    seed=st.integers(0, 99),
)
def test_sentences_are_a_languages_own_and_share_no_span(shots, queries, span, split, seed):
    task_set = Sentences(split, shots, queries, span=span)
    tasks = task_set.sample(3, seeded(seed))
    assert tasks.support_x.shape == tasks.support_y.shape == (3, shots, 100)
    assert tasks.query_x.shape == tasks.query_y.shape == (3, queries, 100)
    for t, unit in enumerate(tasks.unit.tolist()):
        own = Counter(plain(s)[:100] for s in task_set.languages[unit].sentences)
        support = texts(tasks.support_x[t], tasks.support_y[t])
        query = texts(tasks.query_x[t], tasks.query_y[t])
        readable = Counter("".join(c for c in s if c in LETTERS) for s in own)
        dealt = Counter(support + query)
        assert len(support) == shots and all(readable[s] >= n for s, n in dealt.items())
        if span:
            known = set().union(*(spans(s, span) for s in support))
            assert not any(known & spans(s, span) for s in query)


def test_all_languages_come_before_any_comes_again():
    task_set = Sentences("validation", shots=1, queries=1)
    units = task_set.sample(len(task_set.languages) + 1, seeded()).unit
    assert sorted(units[:-1].tolist()) == list(range(len(task_set.languages)))


def test_formulas_repeat_unless_left_out():
    def repeated(span):
        tasks = Sentences("test", shots=20, queries=10, span=span).sample(16, seeded())
        found = 0
        for t in range(16):
            known = set().union(
                *(spans(s, 20) for s in texts(tasks.support_x[t], tasks.support_y[t]))
            )
            found += sum(
                bool(known & spans(s, 20)) for s in texts(tasks.query_x[t], tasks.query_y[t])
            )
        return found

    assert repeated(20) == 0 and repeated(None) > 20


@pytest.mark.parametrize("relatives", [False, True])
def test_snippets_name_their_language(relatives):
    task_set = Snippets("test", ways=4, shots=2, queries=3, relatives=relatives)
    tasks = task_set.sample(5, seeded())
    assert tasks.support_x.shape == (5, 8, 20) and tasks.query_x.shape == (5, 12, 20)
    everything = {x.iso: "\n".join(map(plain, x.sentences)) for x in task_set.languages}
    for t in range(5):
        families = set()
        for way in range(4):
            rows = [*tasks.support_x[t][tasks.support_y[t] == way],
                    *tasks.query_x[t][tasks.query_y[t] == way]]  # fmt: skip
            assert len(rows) == 5
            readable = [r for r in rows if not (r == UNKNOWN).any()]
            snippets = ["".join(LETTERS[s - 2] for s in row) for row in readable]
            owners = [x for x in task_set.languages
                      if all(s in everything[x.iso] for s in snippets)]  # fmt: skip
            assert owners
            families.add(frozenset(x.family for x in owners))
        if relatives:
            assert frozenset.intersection(*families)


@pytest.mark.parametrize(
    ("kind", "arguments", "sentence"),
    [
        (Sentences, {"split": "dev"}, "split must be train, validation or test, got 'dev'"),
        (Sentences, {"shots": -1}, "shots must be a whole number, 0 or more, got -1"),
        (Sentences, {"shots": (1, -5)}, "shots must be a whole number, 0 or more, got -5"),
        (Snippets, {"ways": 999}, "999 ways are more than there are languages"),
    ],
)
def test_bad_arguments_get_a_sentence(kind, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(**arguments)


# --- the learners --------------------------------------------------------------------------------


def kneser_ney(pairs, order, discount, symbols):
    """An oracle with dictionaries: pairs of (context tuple, symbol) -> p(context, symbol)."""
    tables, grams = [], list(pairs)
    for used in range(order - 1, -1, -1):
        table = defaultdict(Counter)
        for context, symbol in grams:
            table[context[len(context) - used :]][symbol] += 1
        tables.insert(0, table)
        grams = [(context, s) for context, counts in table.items() for s in counts]

    def p(context, symbol, used=None):
        used = order - 1 if used is None else used
        lower = 1 / symbols if used == 0 else p(context, symbol, used - 1)
        counts = tables[used].get(context[len(context) - used :])
        if not counts:
            return lower
        share = max(counts[symbol] - discount, 0) + discount * len(counts) * lower
        return share / sum(counts.values())

    return p


@settings(max_examples=25, deadline=None)
@given(
    order=st.integers(1, 5),
    discount=st.floats(0.1, 0.9),
    rows=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=9), min_size=1, max_size=4),
    asked=st.lists(st.integers(1, 4), min_size=1, max_size=6),
)
def test_the_ngram_is_interpolated_kneser_ney(order, discount, rows, asked):
    def pairs(row):
        padded = [0] * (order - 1) + [0, *row[:-1]]
        return [(tuple(padded[i : i + order - 1]) if order > 1 else (), s)
                for i, s in enumerate(row, 1)]  # fmt: skip

    length = max(map(len, rows))
    y = torch.tensor([[row + [IGNORE] * (length - len(row)) for row in rows]])
    x = torch.tensor([[[0, *row[:-1]] + [0] * (length - len(row)) for row in rows]])
    query = torch.tensor([[[0, *asked[:-1]]]])
    said = NGram(5, order, discount).adapt(x, y)(query)[0, 0].exp()  # (L, 5)
    p = kneser_ney([pair for row in rows for pair in pairs(row)], order, discount, 5)
    for i, (context, _) in enumerate(pairs(asked)):
        expected = [p(context, s) for s in range(5)]
        assert said[i].tolist() == pytest.approx(expected, abs=1e-5)
        assert sum(expected) == pytest.approx(1)


@pytest.mark.parametrize("learner", [
    NGram(SYMBOLS), FineTune(GRULanguageModel(SYMBOLS), 0.5, 2),
    Mixture(NGram(SYMBOLS, 3), FOMAML(GRULanguageModel(SYMBOLS), 0.5, 1), 0.3),
], ids=["n-gram", "GRU", "mixture"])  # fmt: skip
@pytest.mark.parametrize("shots", [0, 2])
def test_predictions_are_probabilities_and_see_only_what_came_before(learner, shots):
    tasks = Sentences("test", shots=shots, queries=2, length=12).sample(2, seeded())
    predict = learner.adapt(tasks.support_x, tasks.support_y)
    said = predict(tasks.query_x)
    assert said.shape == (2, 2, 12, SYMBOLS)
    torch.testing.assert_close(said.exp().sum(-1), torch.ones(2, 2, 12))
    changed = tasks.query_x.clone()
    changed[..., 7:] = 5
    torch.testing.assert_close(predict(changed)[..., :7, :], said[..., :7, :])
    assert not torch.allclose(predict(changed)[..., 7:, :], said[..., 7:, :]) or shots == 0
    torch.testing.assert_close(predict(tasks.query_x[:, :1]), said[:, :1])  # no help from others


def test_a_mixture_is_between_its_parts():
    tasks = Sentences("test", shots=2, queries=2, length=20).sample(2, seeded())
    parts = NGram(SYMBOLS), NGram(SYMBOLS, 2)
    first, second, both = (
        learner.adapt(tasks.support_x, tasks.support_y)(tasks.query_x).exp()
        for learner in (*parts, Mixture(*parts, 0.25))
    )
    torch.testing.assert_close(both, 0.25 * first + 0.75 * second)


def test_many_grus_at_once_are_many_grus():
    network = GRULanguageModel(7, 5, 6)
    x = torch.randint(7, (3, 2, 9), generator=seeded())
    weights = {n: torch.stack([p * s for s in (0.5, 1, 2)]).detach().requires_grad_()
               for n, p in network.named_parameters()}  # fmt: skip
    results = []
    for run in (network.run_many, lambda w, x: per_task.run_loop(network, w, x)):
        said = run(weights, x)
        results.append((said, *torch.autograd.grad(said[..., 3].sum(), weights.values())))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
    assert per_task.way(network) is GRULanguageModel.run_many


def test_letter_pairs_are_roots_of_shares():
    x, _ = encode(["anna antaa annan an"], 20)
    text = "".join("^" if s == START else LETTERS[s - 2] for s in x[0])
    singles, pairs = Counter(text), Counter(itertools.pairwise(text))
    found = LetterPairs(SYMBOLS)(x)[0]
    a, n = (LETTERS.index(c) + 2 for c in "an")
    assert found[a].item() == pytest.approx((singles["a"] / len(text)) ** 0.5)
    share = pairs["a", "n"] / (len(text) - 1)
    assert found[SYMBOLS + a * SYMBOLS + n].item() == pytest.approx(share**0.5)
    assert found.square().sum().item() == pytest.approx(2)


def test_counted_pairs_tell_languages_apart_and_weights_can_be_learned():
    torch.manual_seed(0)
    counts = LetterPairs(SYMBOLS)
    plain_learner = ProtoNet(counts)
    tasks = Snippets("test", shots=5).sample(20, seeded())
    predict = plain_learner.adapt(*tasks[:2])
    assert accuracy(predict(tasks.query_x), tasks.query_y).mean() > 0.5  # by chance 0.2
    scale = Scale(SYMBOLS + SYMBOLS**2, 3.0)
    learner = ProtoNet(nn.Sequential(counts, scale))
    optimizer = torch.optim.Adam(learner.parameters(), 0.03)
    losses = [learner.outer_step(tasks, optimizer).mean().item() for _ in range(5)]
    assert losses[-1] < losses[0] and not torch.equal(
        scale.weight, torch.full_like(scale.weight, 3)
    )


def test_meta_learning_lowers_the_loss_after_adapting():
    torch.manual_seed(0)
    learner = FOMAML(GRULanguageModel(SYMBOLS, 8, 16), 0.5, 1)
    tasks = Sentences("train", shots=2, queries=2, length=30).sample(2, seeded())
    optimizer = torch.optim.Adam(learner.parameters(), 0.01)
    losses = [learner.outer_step(tasks, optimizer).mean().item() for _ in range(15)]
    assert losses[-1] < losses[0] - 0.5 < math.log(SYMBOLS)


def test_the_ngram_gets_better_with_more_text():
    scores = []
    for shots in (0, 1, 5, 20):
        tasks = Sentences("validation", shots=shots, queries=4).sample(16, seeded())
        predict = NGram(SYMBOLS).adapt(tasks.support_x, tasks.support_y)
        scores.append(cross_entropy(predict(tasks.query_x), tasks.query_y).mean().item())
    assert scores[0] == pytest.approx(math.log(SYMBOLS), abs=1e-4)
    assert scores == sorted(scores, reverse=True)


def test_writing_draws_what_is_said():
    x, y = encode(["ananananananananan"], 18)
    predict = NGram(SYMBOLS, 3, 0.01).adapt(x.unsqueeze(0), y.unsqueeze(0))
    written = write(predict, x[0, :2], 20, seeded())
    assert decode(written) == "nanananananananananana"[:20]


@pytest.mark.parametrize(("learner", "sentence"), [
    (lambda: NGram(80, 0), "order must be 1 or more"),
    (lambda: NGram(80, 5, 1.5), "discount between 0 and 1"),
    (lambda: NGram(80, 12), "too high for 80 symbols"),
    (lambda: Mixture(NGram(80), NGram(80), 1.0), "weight must be between 0 and 1"),
])  # fmt: skip
def test_impossible_learners_are_refused(learner, sentence):
    with pytest.raises(ValueError, match=sentence):
        learner()


def test_learners_of_language_go_to_disk_and_back(tmp_path):
    learner = Mixture(NGram(SYMBOLS), FOMAML(GRULanguageModel(SYMBOLS, 4, 8), 0.5, 1), 0.4)
    checkpoints.save(learner, "both", {}, tmp_path)
    again = checkpoints.load("both", tmp_path)
    tasks = Sentences("test", shots=1, queries=1, length=10).sample(1, seeded())
    said = [m.adapt(tasks.support_x, tasks.support_y)(tasks.query_x) for m in (learner, again)]
    torch.testing.assert_close(*said)
