"""Activations of neural networks, as maps of one number."""

import numpy as np
from scipy import special

from .public import FLOATS, elementwise

SQRT_HALF = 0.7071067811865476


@elementwise(
    FLOATS,
    lambda x: np.maximum(x, 0),
    "y = max(x, 0); NaN stays.",
    source="Nair & Hinton 2010, ICML.",
    example=((-1.0, 2.0),),
)
def relu(x):
    """Rectified linear unit."""
    return np.maximum(x, 0)


def leaky_relu_reference(x, negative_slope):
    """NumPy."""
    return np.where(x < 0, negative_slope * x, x)


@elementwise(
    FLOATS,
    leaky_relu_reference,
    "y = x for x >= 0, else negative_slope x.",
    ulps=(0.5, 0.5),
    source="Maas, Hannun & Ng 2013, ICML workshop.",
    domain=((-10, 10), (0, 1)),
    example=((-1.0, 2.0), 0.01),
)
def leaky_relu(x, negative_slope=0.01):
    """Rectified linear unit with a slope left of zero."""
    return negative_slope * x if x < 0 else x


@elementwise(
    FLOATS,
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "y = x for x > 0, else alpha (e^x - 1).",
    ulps=(2, 2),
    flops=2,
    source="Clevert, Unterthiner & Hochreiter 2016, https://arxiv.org/abs/1511.07289",
    domain=((-10, 10), (0.1, 2)),
    example=((-1.0, 2.0), 1.0),
)
def elu(x, alpha=1.0):
    """Exponential linear unit."""
    return alpha * np.expm1(x) if x <= 0 else x


def gelu_reference(x):
    """SciPy; erfc keeps the left tail's digits, which 1 + erf would cancel."""
    return 0.5 * x * special.erfc(-SQRT_HALF * x)


@elementwise(
    FLOATS,
    gelu_reference,
    "y = x ndtr(x) = x / 2 erfc(-x / sqrt 2).",
    ulps=(64, 64),
    flops=4,
    domain=((-5, 5),),
    source="Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415",
)
def gelu(x):
    """Gaussian error linear unit."""
    return 0.5 * x * special.erfc(-SQRT_HALF * x)


def gelu_tanh_reference(x):
    """NumPy; (1 + tanh u) / 2 is expit(2 u), which does not cancel for u < 0."""
    return x * special.expit(1.5957691216057308 * (x + 0.044715 * x * x * x))


@elementwise(
    FLOATS,
    gelu_tanh_reference,
    "y = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).",
    ulps=(64, 64),
    flops=9,
    domain=((-5, 5),),
    source="Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415",
)
def gelu_tanh(x):
    """Gaussian error linear unit, tanh form."""
    return x * special.expit(1.5957691216057308 * (x + 0.044715 * x * x * x))


@elementwise(
    FLOATS,
    lambda x: x * special.expit(x),
    "y = x / (1 + e^-x), also called swish.",
    ulps=(6, 6),
    flops=4,
    source="Elfwing, Uchibe & Doya 2018, https://doi.org/10.1016/j.neunet.2017.12.012",
)
def silu(x):
    """Sigmoid linear unit."""
    return x * special.expit(x)


@elementwise(
    FLOATS,
    lambda x: np.logaddexp(0, x),
    "y = ln(1 + e^x), without overflow.",
    ulps=(4, 4),
    flops=4,
    source="Dugas et al. 2001, NeurIPS 13.",
)
def softplus(x):
    """Smooth rectified linear unit."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.fabs(x)))


@elementwise(
    FLOATS,
    special.expit,
    "y = 1 / (1 + e^-x).",
    ulps=(4, 4),
    flops=3,
    source="Han & Moraga 1995, IWANN.",
)
def sigmoid(x):
    """Logistic function."""
    return special.expit(x)
