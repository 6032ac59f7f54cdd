"""The outer loop: resumes bit for bit, keeps the best, and says what went wrong."""

import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from course_utils.learners import (
    ANIL,
    FOMAML,
    MAML,
    RL2,
    FineTune,
    FromScratch,
    MetaLearner,
    MetaSGD,
    Reptile,
)
from course_utils.losses import accuracy, cross_entropy, mean_squared_error
from course_utils.networks import MLP, Conv4
from course_utils.run import Run
from course_utils.tasks import Bandits, Sinusoids, Tasks, TaskSet
from course_utils.training import Result, bootstrap_interval, compiled_step, select, test, train

SMALL = Sinusoids(shots=4, queries=4)


def learner(kind=MAML, seed=0, **arguments):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))
    return kind(network, 0.01, 1, **arguments)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


class Classes(TaskSet):
    """Two blobs a task, told apart by a line of their own: the smallest classification task."""

    def sample(self, num_tasks, generator=None):
        y = torch.tensor([0, 1]).repeat(num_tasks, 5)  # (T, 10)
        direction = torch.randn(num_tasks, 1, 2, generator=generator)
        x = direction * (2.0 * y.unsqueeze(2) - 1) + 0.1 * torch.randn(
            num_tasks, 10, 2, generator=generator
        )
        return Tasks(x[:, :4], y[:, :4], x[:, 4:], y[:, 4:], torch.arange(num_tasks) % 3)


class Impatient(Sinusoids):
    """Deals tasks `patience` times; then comes Ctrl-C. The first batch is for the check of fit."""

    drawn, patience = 0, 7

    def sample(self, *arguments):
        self.drawn += 1
        if self.drawn > self.patience:
            raise KeyboardInterrupt
        return super().sample(*arguments)


class TestTrain:
    def test_lowers_the_error_on_unseen_tasks(self):
        maml = MAML(MLP(1, 40, 40, 1))
        before = test(maml, SMALL, num_tasks=100).mean
        history = train(maml, SMALL, updates=300, validation=SMALL, progress=False)
        assert test(maml, SMALL, num_tasks=100).mean < 0.8 * before
        assert len(history.losses) == 300 and not history.interrupted
        assert history.validation[0][0] == 0 and history.validation[-1][0] == 300

    def test_keeps_the_best_weights_seen(self):
        maml = learner()
        rising = torch.optim.SGD(maml.parameters(), lr=0.01, maximize=True)
        start = [p.clone() for p in maml.parameters()]
        history = train(maml, SMALL, updates=5, optimizer=rising, validation=SMALL, progress=False)
        assert history.best_update == 0
        assert all(torch.equal(a, b) for a, b in zip(start, maml.parameters(), strict=True))

    def test_larger_is_better_for_accuracy(self):
        maml = MAML(nn.Linear(2, 2), 0.1, 1)
        worsening = torch.optim.SGD(maml.parameters(), lr=10.0, maximize=True)
        history = train(
            maml, Classes(), updates=5, optimizer=worsening, validation=Classes(), progress=False
        )
        scores = dict(history.validation)
        assert scores[history.best_update] == max(scores.values()) > min(scores.values())

    def test_the_same_seed_gives_the_same_weights(self):
        runs = [learner() for _ in range(3)]
        for run, seed in zip(runs, (1, 1, 2), strict=True):
            train(run, SMALL, updates=5, seed=seed, progress=False)
        assert same(runs[0], runs[1]) and not same(runs[0], runs[2])

    def test_resumes_to_the_same_weights_bit_for_bit(self, tmp_path):
        whole = learner()
        full = train(whole, SMALL, updates=20, validation=SMALL, progress=False)
        part = learner()
        train(part, SMALL, updates=10, validation=SMALL, checkpoint=tmp_path / "c", progress=False)
        rest = learner(seed=9)
        history = train(
            rest, SMALL, updates=20, validation=SMALL, checkpoint=tmp_path / "c", progress=False
        )
        assert same(whole, rest)
        assert history.losses == full.losses and history.validation == full.validation

    def test_a_compiled_run_resumes_as_well(self, tmp_path):
        def run(updates, **arguments):
            torch.manual_seed(0)
            maml = MAML(MLP(1, 8, 1))
            train(maml, SMALL, updates=updates, compile=True, progress=False, **arguments)
            return list(maml.parameters())

        whole = run(6)
        run(3, checkpoint=tmp_path / "c")
        resumed = run(6, checkpoint=tmp_path / "c")
        torch.testing.assert_close(resumed, whole, rtol=1e-6, atol=1e-6)

    def test_a_finished_run_is_not_run_again(self, tmp_path):
        first, second = learner(), learner(seed=3)
        train(first, SMALL, updates=5, checkpoint=tmp_path / "c", progress=False)
        train(second, SMALL, updates=5, checkpoint=tmp_path / "c", progress=False)
        assert same(first, second)

    def test_anothers_or_a_damaged_checkpoint_is_refused(self, tmp_path):
        path = tmp_path / "c"
        train(learner(), SMALL, updates=2, checkpoint=path, progress=False)
        with pytest.raises(ValueError, match="belongs to another run"):
            train(learner(), SMALL, updates=4, checkpoint=path, seed=5, progress=False)
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ValueError, match="can't be read as a training checkpoint"):
            train(learner(), SMALL, updates=4, checkpoint=path, progress=False)

    @pytest.mark.parametrize(
        "difference, named",
        [
            ({"inner_lr": 0.5}, "learner inner_lr: 0.01 there, 0.5 here"),
            ({"hidden": 9}, r"learner network sizes: \[1, 8, 1\] there, \[1, 9, 1\] here"),
            ({"tasks": Sinusoids(2, 4)}, "task set shots: 4 there, 2 here"),
            ({"tasks": Sinusoids(4, 4, noise=1.0)}, "task set noise: 0.0 there, 1.0 here"),
            ({"tasks": Sinusoids(4, 4, (1.0, 2.0))}, r"amplitude: \[0.1, 5.0\] there, \[1.0, 2"),
            ({"validation": Sinusoids(4, 5)}, "validation queries: 4 there, 5 here"),
            ({"validation": None}, "validation: .* there, None here"),
            ({"kind": torch.optim.SGD}, "optimizer class: Adam there, SGD here"),
            ({"lr": 0.002}, "optimizer group 0 lr: 0.001 there, 0.002 here"),
            ({"precision": torch.bfloat16}, "precision: None there, torch.bfloat16 here"),
            ({"metric": accuracy}, "metric: default_metric there, accuracy here"),
            ({"tasks_per_update": 5}, "tasks_per_update: 25 there, 5 here"),
        ],
    )
    def test_a_run_that_differs_in_anything_is_another(self, difference, named, tmp_path):
        def start(
            updates, inner_lr=0.01, hidden=8, tasks=SMALL, kind=torch.optim.Adam, lr=0.001, **more
        ):
            torch.manual_seed(0)
            maml = MAML(MLP(1, hidden, 1), inner_lr)
            more = {"validation": SMALL, "checkpoint": tmp_path / "c", "progress": False} | more
            train(maml, tasks, updates=updates, optimizer=kind(maml.parameters(), lr), **more)

        start(1)
        with pytest.raises(ValueError, match=f"belongs to another run .*{named}"):
            start(2, **difference)
        start(2)

    def test_a_loss_that_is_no_number_names_the_update(self):
        maml = learner()
        absurd = torch.optim.SGD(maml.parameters(), lr=1e30)
        with pytest.raises(
            FloatingPointError, match=r"at update [23]: try a smaller learning rate"
        ):
            train(maml, SMALL, updates=9, optimizer=absurd, validation=SMALL, progress=False)
        assert all(p.isfinite().all() for p in maml.parameters())

    def test_without_validation_a_broken_run_says_that_the_weights_are_spoilt(self):
        maml = learner()
        absurd = torch.optim.SGD(maml.parameters(), lr=1e30)
        with pytest.raises(FloatingPointError, match=r"The weights are spoilt: build the learner"):
            train(maml, SMALL, updates=9, optimizer=absurd, progress=False)

    def test_a_first_validation_that_is_no_number_is_the_worst(self, monkeypatch):
        scores = iter([math.nan, 3.0, 2.0, -math.inf, math.nan])
        monkeypatch.setattr("course_utils.run.scores_of", lambda *_: torch.tensor([next(scores)]))
        history = train(learner(), SMALL, updates=4, validation=SMALL, progress=False)
        assert history.best_update == 2 and math.isnan(history.validation[0][1])

    def test_ctrl_c_keeps_the_best_so_far(self, capsys):
        maml = learner()
        history = train(maml, Impatient(4, 4), updates=50, validation=SMALL, progress=False)
        assert history.interrupted and len(history.losses) == 6
        assert "Stopped by hand after 6 of 50 updates" in capsys.readouterr().out
        kept = test(maml, SMALL, num_tasks=200, seed=2**31).mean
        assert kept == pytest.approx(min(score for _, score in history.validation), rel=1e-5)

    def test_ctrl_c_long_before_the_next_validation_keeps_what_was_learned(self, capsys):
        maml, tasks = MAML(MLP(1, 40, 40, 1)), Impatient(4, 4)
        tasks.patience = 61
        history = train(maml, tasks, updates=5000, validation=SMALL, progress=False)
        assert history.best_update == 60 and [u for u, _ in history.validation] == [0, 60]
        assert "the best so far is kept" in capsys.readouterr().out
        kept = test(maml, SMALL, num_tasks=200, seed=2**31).mean
        assert kept == pytest.approx(history.validation[-1][1], rel=1e-5)
        assert kept < history.validation[0][1]

    def test_ctrl_c_within_an_update_or_without_validation(self, capsys, monkeypatch):
        record, calls = Run.record, []

        def impatient(self, recent):
            calls.append(len(recent))
            if len(calls) == 3:
                raise KeyboardInterrupt
            record(self, recent)

        monkeypatch.setattr(Run, "record", impatient)
        history = train(learner(), SMALL, updates=5, validation=SMALL, progress=False)
        assert len(history.losses) == 3 and [u for u, _ in history.validation] == [0, 1, 2, 3]
        history = train(learner(), Impatient(4, 4), updates=50, progress=False)
        assert history.best_update == len(history.losses) == 6
        assert "after 6 of 50 updates; the last weights are kept" in capsys.readouterr().out

    def test_after_ctrl_c_a_checkpoint_goes_on_bit_for_bit(self, tmp_path):
        whole, part, rest = learner(), learner(), learner(seed=9)
        full = train(whole, SMALL, updates=100, validation=SMALL, progress=False)
        tasks, path = Impatient(4, 4), tmp_path / "c"
        tasks.patience = 8  # seven updates, with a checkpoint after the sixth
        stopped = train(part, tasks, updates=100, validation=SMALL, checkpoint=path, progress=False)
        assert stopped.interrupted
        tasks.patience = 1000
        history = train(rest, tasks, updates=100, validation=SMALL, checkpoint=path, progress=False)
        assert same(whole, rest)
        assert history.losses == full.losses and history.validation == full.validation

    @pytest.mark.parametrize("network", [MLP(3, 8, 1), MLP(1, 8, 2)])
    def test_learner_and_task_set_that_do_not_fit(self, network):
        with pytest.raises(ValueError, match="MAML and Sinusoids do not fit: an example has x"):
            train(MAML(network), SMALL, updates=1, progress=False)

    @pytest.mark.parametrize(
        "kind, tasks, said",
        [
            (lambda: MAML(MLP(1, 4, 1)), Bandits(2, 3), "deals environments to act in.*support_x"),
            (lambda: RL2(2), SMALL, r"example has x \(1,\) and y \(1,\) .* deals examples.*reset"),
            (lambda: MLP(1, 4, 1), SMALL, "deals examples"),
        ],
        ids=["MAML on bandits", "RL2 on curves", "a bare network"],
    )
    def test_examples_and_environments_are_told_apart(self, kind, tasks, said):
        with pytest.raises(ValueError, match=f"do not fit: .*{said}") as caught:
            train(kind(), tasks, updates=1, progress=False)
        assert isinstance(caught.value.__cause__, (AttributeError, TypeError))

    def test_the_validation_set_has_to_fit_too(self):
        with pytest.raises(ValueError, match="MAML and the validation set Bandits do not fit"):
            train(learner(), SMALL, updates=1, validation=Bandits(2, 3), progress=False)
        with pytest.raises(ValueError, match="queries must be 1 or more to validate"):
            train(learner(), SMALL, updates=1, validation=Sinusoids(4, 0), progress=False)

    def test_an_empty_query_set_is_told_where_it_is_needed(self):
        with pytest.raises(ValueError, match="queries must be 1 or more to train"):
            train(learner(), Sinusoids(4, 0), updates=1, progress=False)
        for kind in (FineTune, Reptile):  # they learn from the support set as well
            train(learner(kind), Sinusoids(4, 0), updates=1, progress=False)
        train(learner(), Sinusoids(0, 4), updates=1, validation=Sinusoids(0, 4), progress=False)

    def test_a_network_without_weights_has_nothing_to_train(self):
        with pytest.raises(ValueError, match="MAML has no parameters to train"):
            train(MAML(nn.Flatten(0)), SMALL, updates=1, progress=False)

    def test_labels_beyond_the_outputs_are_explained(self):
        with pytest.raises(ValueError, match="remap the labels of each task"):
            train(MAML(nn.Linear(2, 1)), Classes(), updates=1, progress=False)

    def test_an_objective_that_is_not_one_number_a_task_is_explained(self):
        class Wrong(MetaLearner):
            def __init__(self):
                super().__init__()
                self.w = nn.Parameter(torch.zeros(()))

            def adapt(self, support_x, support_y):
                return lambda x: x * self.w

            def forward(self, tasks):
                return super().forward(tasks).mean()

        with pytest.raises(ValueError, match="must give one number a task"):
            train(Wrong(), SMALL, updates=1, progress=False)

    def test_what_has_nothing_to_learn_says_so(self):
        with pytest.raises(TypeError, match="FromScratch has nothing to meta-learn"):
            train(learner(FromScratch), SMALL, updates=1, progress=False)
        with pytest.raises(ValueError, match="updates must be a whole number"):
            train(learner(), SMALL, updates=-1, progress=False)

    def test_bfloat16_runs(self):
        maml = MAML(MLP(1, 16, 1))
        history = train(maml, SMALL, updates=3, precision=torch.bfloat16, progress=False)
        assert all(math.isfinite(loss) for loss in history.losses)
        assert next(maml.parameters()).dtype == torch.float32

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
    def test_on_a_gpu(self):
        maml = MAML(MLP(1, 16, 1))
        train(maml, SMALL, updates=60, validation=SMALL, progress=False)
        assert next(maml.parameters()).is_cuda


KILLED = """
import sys, torch
from course_utils.learners import MAML
from course_utils.networks import MLP
from course_utils.tasks import Sinusoids
from course_utils.training import train
torch.set_num_threads(1)
torch.manual_seed(0)
maml, tasks = MAML(MLP(1, 16, 1)), Sinusoids(4, 4)
train(maml, tasks, updates=400, validation=tasks, checkpoint=sys.argv[1], progress=False)
torch.save([p.tolist() for p in maml.parameters()], sys.argv[2])
"""


def test_kill_9_at_any_moment_loses_nothing(tmp_path):
    def start(checkpoint, out):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(checkpoint), str(out)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    assert start(tmp_path / "whole", tmp_path / "expected").wait(120) == 0
    kills = 0
    for moment in (0.05, 0.2, 0.5, 120):  # seconds after the first checkpoint has been written
        process = start(tmp_path / "c", tmp_path / "got")
        deadline = time.monotonic() + 60
        while not (tmp_path / "c").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        if process.returncode == 0:
            break
    assert kills >= 1 and (tmp_path / "got").exists()
    assert torch.load(tmp_path / "got") == torch.load(tmp_path / "expected")


@pytest.mark.parametrize("kind", [MAML, FOMAML, Reptile, ANIL, MetaSGD, FineTune])
def test_compiled_equals_eager(kind):
    """Losses and weights after three steps, to 1e-6."""
    task_batches = [SMALL.sample(5, torch.Generator().manual_seed(s)) for s in range(3)]
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        maml = kind(MLP(1, 8, 1), 0.01, 2)
        optimizer = torch.optim.SGD(maml.parameters(), lr=0.01)
        step = compiled_step(maml) if compiled else maml.outer_step
        losses = [step(tasks, optimizer) for tasks in task_batches]
        results.append((torch.stack(losses), [p.detach() for p in maml.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)


class TestTest:
    def test_scores_are_the_metric_of_each_task(self):
        maml = learner().eval()
        result = test(maml, SMALL, num_tasks=130, seed=4)
        tasks = SMALL.sample(130, torch.Generator().manual_seed(4))
        prediction = maml.adapt(tasks.support_x, tasks.support_y)(tasks.query_x)
        expected = (prediction - tasks.query_y).pow(2).mean((1, 2)).detach().numpy()
        np.testing.assert_allclose(result.scores, expected, rtol=1e-5)
        assert result.mean == pytest.approx(expected.mean(), rel=1e-5)

    def test_nothing_to_score_is_told(self):
        with pytest.raises(ValueError, match="num_tasks must be 1 or more, got 0"):
            test(learner(), SMALL, num_tasks=0)
        with pytest.raises(ValueError, match="queries must be 1 or more to test"):
            test(learner(), Sinusoids(4, 0), num_tasks=2)
        assert test(learner(), Sinusoids(0, 4), num_tasks=2).mean > 0

    @pytest.mark.parametrize(
        "kind, tasks",
        [
            (lambda: MAML(MLP(1, 4, 1)), Bandits(2, 3)),
            (lambda: RL2(2), SMALL),
            (lambda: MAML(MLP(3, 8, 1)), SMALL),
        ],
        ids=["MAML on bandits", "RL2 on curves", "other inputs"],
    )
    def test_learner_and_task_set_that_do_not_fit(self, kind, tasks):
        with pytest.raises(ValueError, match=f"and {type(tasks).__name__} do not fit: ") as caught:
            test(kind(), tasks, num_tasks=2)
        assert caught.value.__cause__ is not None

    def test_leaves_the_learner_as_it_was(self):
        maml = learner().train()
        before = [p.clone() for p in maml.parameters()]
        test(maml, SMALL, num_tasks=5)
        assert maml.training
        assert all(torch.equal(a, b) for a, b in zip(before, maml.parameters(), strict=True))

    def test_classification_is_scored_by_accuracy_and_grouped_by_unit(self):
        result = test(MAML(nn.Linear(2, 2), 1.0, 20), Classes(), num_tasks=9)
        assert result.mean > 0.9
        assert sorted(set(result.unit)) == [0, 1, 2] and len(result.unit_means) == 3

    def test_interval_covers_the_mean_as_often_as_it_says(self):
        """Of 200 samples of 40 exponential variables, about 95 % cover the true mean 1."""
        draws = np.random.default_rng(0).exponential(size=(200, 40))
        intervals = np.array([bootstrap_interval(d) for d in draws])
        covered = ((intervals[:, 0] < 1) & (intervals[:, 1] > 1)).mean()
        assert 0.88 < covered < 0.99

    def test_interval_agrees_with_the_normal_one_where_that_holds(self):
        values = np.random.default_rng(0).normal(size=400)
        expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
        np.testing.assert_allclose(bootstrap_interval(values), expected, atol=0.01)

    @pytest.mark.parametrize("n", [2, 30, 600])
    def test_interval_is_scipys(self, n):
        values = np.random.default_rng(n).exponential(size=n)
        theirs = stats.bootstrap(
            (values,), np.mean, n_resamples=2000, method="percentile", batch=100, random_state=0
        ).confidence_interval
        np.testing.assert_allclose(bootstrap_interval(values), theirs)

    def test_interval_of_few_or_broken_scores(self):
        assert all(math.isnan(v) for v in bootstrap_interval(np.array([1.0])))
        assert all(math.isnan(v) for v in bootstrap_interval(np.array([1.0, math.nan])))
        assert bootstrap_interval(np.array([2.0, 2.0])) == (2.0, 2.0)

    def test_units_are_weighed_alike_whatever_their_size(self):
        result = Result(np.array([0.0, 0.0, 0.0, 1.0]), np.array([3, 3, 3, 8]))
        assert result.mean == 0.5

    def test_select_takes_the_best_and_passes_over_what_diverged(self):
        joint = FineTune(MLP(1, 40, 40, 1))
        train(joint, SMALL, updates=200, progress=False)
        candidates = [
            FineTune(joint.network, 1e9, 5),  # diverges
            FromScratch(MLP(1, 40, 40, 1), 0.0, 0),  # random
            FineTune(joint.network, 0.0, 0),  # trained
        ]
        best, means = select(candidates, SMALL, num_tasks=50)
        assert best is candidates[2] and means[2] < means[1]


class TestLosses:
    def test_shapes_that_would_broadcast_are_refused(self):
        with pytest.raises(ValueError, match="they must be equal"):
            mean_squared_error(torch.zeros(2, 5, 1), torch.zeros(2, 5))
        with pytest.raises(ValueError, match="do not fit targets"):
            cross_entropy(torch.zeros(2, 5, 3), torch.zeros(2, 4, dtype=torch.long))

    def test_padding_counts_for_nothing(self):
        logits = torch.randn(2, 3, 4, 5)  # (T, Q, L, V)
        y = torch.randint(5, (2, 3, 4))
        y[0, :, 2:] = -100
        expected = [
            nn.functional.cross_entropy(logits[0, :, :2].reshape(-1, 5), y[0, :, :2].flatten()),
            nn.functional.cross_entropy(logits[1].reshape(-1, 5), y[1].flatten()),
        ]
        torch.testing.assert_close(cross_entropy(logits, y), torch.stack(expected))
        right = (logits.argmax(-1) == y).float()
        assert accuracy(logits, y)[0].item() == pytest.approx(right[0, :, :2].mean().item())

    def test_conv4_maps_images_to_logits(self):
        assert Conv4(5, filters=8)(torch.rand(3, 1, 28, 28)).shape == (3, 5)
        with pytest.raises(ValueError, match="an MLP needs at least"):
            MLP(3)
