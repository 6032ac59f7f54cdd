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
    FineTune,
    FromScratch,
    MetaLearner,
    MetaSGD,
    Reptile,
)
from course_utils.losses import accuracy, cross_entropy, mean_squared_error
from course_utils.networks import MLP, Conv4
from course_utils.tasks import Sinusoids, Tasks, TaskSet
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

    def test_a_loss_that_is_no_number_names_the_update(self):
        maml = learner()
        absurd = torch.optim.SGD(maml.parameters(), lr=1e30)
        with pytest.raises(
            FloatingPointError, match=r"at update [23]: try a smaller learning rate"
        ):
            train(maml, SMALL, updates=9, optimizer=absurd, validation=SMALL, progress=False)
        assert all(p.isfinite().all() for p in maml.parameters())

    def test_ctrl_c_keeps_the_best_so_far(self, capsys):
        class Impatient(Sinusoids):
            drawn = 0

            def sample(self, *arguments):
                self.drawn += 1
                if self.drawn == 8:
                    raise KeyboardInterrupt
                return super().sample(*arguments)

        maml = learner()
        history = train(maml, Impatient(4, 4), updates=50, validation=SMALL, progress=False)
        assert history.interrupted and len(history.losses) == 6
        assert "Stopped by hand after 6 of 50 updates" in capsys.readouterr().out
        kept = test(maml, SMALL, num_tasks=200, seed=2**31).mean
        assert kept == pytest.approx(min(score for _, score in history.validation), rel=1e-5)

    @pytest.mark.parametrize("network", [MLP(3, 8, 1), MLP(1, 8, 2)])
    def test_learner_and_task_set_that_do_not_fit(self, network):
        with pytest.raises(ValueError, match="MAML and Sinusoids do not fit: an example has x"):
            train(MAML(network), SMALL, updates=1, progress=False)

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
