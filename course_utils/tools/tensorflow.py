"""The job in TensorFlow: a GradientTape for the inner loop within one for the outer loop."""

import os

# first: PyTorch's compiler and TensorFlow each bring LLVM, and Python dies in the other order
import torch._dynamo  # noqa: F401

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or its import prints messages
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import tensorflow as tf

from course_utils.tools.job import Job


def run(weights, x):
    """The network on T tasks, each with its own weights: (T, n, 1) -> (T, n, 1)."""
    for i in range(0, len(weights), 2):
        x = tf.matmul(x, weights[i], transpose_b=True) + weights[i + 1][:, None]
        x = tf.nn.relu(x) if i + 2 < len(weights) else x
    return x


def loss(weights, x, y):
    """Mean squared error of each task: (T,)."""
    return tf.reduce_mean((run(weights, x) - y) ** 2, axis=(1, 2))


def meta_learner(theta, inputs, labels, inner_lr, steps, first_order=False):
    """Adapt θ to T support sets (T, S, 1) at once; return the function that predicts."""
    weights = [tf.repeat(w[None], inputs.shape[0], axis=0) for w in theta]
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            total = tf.reduce_sum(loss(weights, inputs, labels))  # each task has its own weights
        gradients = tape.gradient(total, weights)
        if first_order:
            gradients = [tf.stop_gradient(g) for g in gradients]
        weights = [w - inner_lr * g for w, g in zip(weights, gradients, strict=True)]
    return lambda queries: run(weights, queries)


def start(job: Job):
    """A step of MAML, traced at its first call and then run as a graph."""
    theta = [tf.Variable(w) for w in job.weights]
    optimizer = tf.keras.optimizers.Adam(job.outer_lr, epsilon=1e-8)
    optimizer.build(theta)
    how = (job.inner_lr, job.steps, job.first_order)

    @tf.function(autograph=False)
    def step(sx, sy, qx, qy):
        with tf.GradientTape() as tape:
            predict = meta_learner(theta, sx, sy, *how)
            losses = tf.reduce_mean((predict(qx) - qy) ** 2, axis=(1, 2))
            objective = tf.reduce_mean(losses)
        gradients = tape.gradient(objective, theta)
        optimizer.apply_gradients(zip(gradients, theta, strict=True))
        return losses, gradients

    return lambda tasks: step(*map(tf.constant, tasks))
