"""Steps of the optimisers against their formulas in float64, over several steps."""

import numpy as np
import pytest

import kernels

STEPS = 5
floats = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])


def close(actual, expected, dtype):
    """Each step rounds a handful of terms of the size of the parameters (below 4): 16 roundings a step."""
    u = float(np.finfo(dtype).eps) / 2
    assert actual.dtype == dtype
    return np.all(np.abs(actual - expected) <= 16 * STEPS * u * np.maximum(np.abs(expected), 4))


def start(rng, dtype, states):
    w = rng.uniform(-2, 2, 33).astype(dtype)
    return (
        w,
        [np.zeros_like(w) for _ in range(states)],
        [rng.uniform(0.5, 2, 33).astype(dtype) for _ in range(STEPS)],
    )


def sgd(w, b, g, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * w
    b = momentum * b + (1 - dampening) * g
    return w - lr * (g + momentum * b if nesterov else b), b


def adam(w, m, v, g, *, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    if decoupled:
        w = w - lr * weight_decay * w
    else:
        g = g + weight_decay * w
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    return w - lr * (m / (1 - betas[0] ** step)) / (np.sqrt(v / (1 - betas[1] ** step)) + eps), m, v


@floats
@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.5}, {"momentum": 0.5, "dampening": 0.25}, {"weight_decay": 0.125},
     {"momentum": 0.5, "nesterov": True, "weight_decay": 0.25}],
    ids=str,
)  # fmt: skip
def test_sgd_follows_its_formula(options, dtype, rng):
    w, (b,), grads = start(rng, dtype, 1)
    exact = w.astype(np.float64), b.astype(np.float64)
    for g in grads:
        assert kernels.sgd_step(w, g, b, lr=0.125, **options) is None
        exact = sgd(*exact, g.astype(np.float64), lr=0.125, **options)
    assert close(w, exact[0], dtype)
    assert close(b, exact[1], dtype)


@floats
@pytest.mark.parametrize("weight_decay", [0.0, 0.25])
@pytest.mark.parametrize("name", ["adam_step", "adamw_step"])
def test_adam_follows_its_formula(name, weight_decay, dtype, rng):
    w, (m, v), grads = start(rng, dtype, 2)
    exact = tuple(a.astype(np.float64) for a in (w, m, v))
    options = {"lr": 0.0625, "betas": (0.75, 0.875), "eps": 1e-3, "weight_decay": weight_decay}
    for k, g in enumerate(grads, 1):
        assert getattr(kernels, name)(w, g, m, v, step=k, **options) is None
        exact = adam(*exact, g.astype(np.float64), step=k, decoupled=name == "adamw_step", **options)
    for actual, expected in zip((w, m, v), exact, strict=True):
        assert close(actual, expected, dtype)


@pytest.mark.parametrize("name", ["adam_step", "adamw_step"])
def test_defaults_are_those_of_the_papers(name, rng):
    w, (m, v), (g, *_) = start(rng, "float64", 2)
    exact = adam(w.copy(), m.copy(), v.copy(), g, step=1, weight_decay=1e-2 * (name == "adamw_step"), decoupled=True)
    getattr(kernels, name)(w, g, m, v, step=1)
    assert close(w, exact[0], "float64")


def test_gradients_stay_as_they_are(rng):
    w, (m, v), (g, *_) = start(rng, "float32", 2)
    before = g.copy()
    kernels.adamw_step(w, g, m, v, step=1)
    kernels.sgd_step(w, g, m, lr=0.1, momentum=0.9, nesterov=True)
    assert np.array_equal(g, before)


def test_parameters_may_be_strided(rng):
    matrix = rng.uniform(-1, 1, (6, 8)).astype(np.float32)
    before = matrix.copy()
    column, b = matrix[:, 2], np.zeros(6, np.float32)
    kernels.sgd_step(column, np.ones(6, np.float32), b, lr=0.5)
    assert np.array_equal(matrix[:, 2], before[:, 2] - np.float32(0.5))
    assert np.array_equal(np.delete(matrix, 2, 1), np.delete(before, 2, 1))


def test_state_of_higher_precision_than_the_parameters_keeps_it(rng):
    w, (m, v), (g, *_) = start(rng, "float16", 2)
    m, v = m.astype(np.float32), v.astype(np.float32)
    kernels.adam_step(w, g, m, v, step=1, betas=(0.9, 0.999))
    assert w.dtype == np.float16
    assert np.all(np.abs(v - 0.001 * g.astype(np.float64) ** 2) <= 4 * np.spacing(v))
