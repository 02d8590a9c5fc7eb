"""One step of an optimiser, as one kernel that updates parameters and state in place.

Source: the update rules are those of the papers cited; names and defaults are PyTorch's.
"""

import numpy as np

from ..runtime.frameworks import opaque
from .fuse import fuse


@fuse
def _sgd(param, grad, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov):
    grad = grad + weight_decay * param
    momentum_buffer = momentum * momentum_buffer + (1 - dampening) * grad
    step = grad + momentum * momentum_buffer if nesterov else momentum_buffer
    return param - lr * step, momentum_buffer


@fuse
def _adam(param, grad, exp_avg, exp_avg_sq, lr, beta1, beta2, eps, coupled, decoupled, correction1, correction2):
    param = param - lr * decoupled * param
    grad = grad + coupled * param
    exp_avg = exp_avg + (1 - beta1) * (grad - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    step = exp_avg / correction1 / (np.sqrt(exp_avg_sq / correction2) + eps)
    return param - lr * step, exp_avg, exp_avg_sq


_SGD = """One step of stochastic gradient descent with momentum, in place and in one kernel.

    Parameters
    ----------
    param, momentum_buffer : arrays of one shape and of float16, float32 or float64
        Updated in place. Start the buffer at zero.
    grad : array of the same shape
    lr : float
        Learning rate.
    momentum, dampening, weight_decay : float, optional
    nesterov : bool, optional
    stream : stream or int, optional

    Raises
    ------
    TypeError, ValueError
        As every elementwise function, before anything is written.

    Notes
    -----
    ::

        g = grad + weight_decay param
        b = momentum b + (1 - dampening) g
        param = param - lr (g + momentum b  if nesterov else  b)

    Three arrays are read and two written.

    References
    ----------
    Sutskever et al. 2013, ICML; PyTorch, `torch.optim.SGD`, whose first step does without the dampening.

    Examples
    --------
    >>> import numpy as np, kernels
    >>> w, b = np.array([1.0, 2.0]), np.zeros(2)
    >>> kernels.sgd_step(w, np.array([0.5, -0.5]), b, lr=0.1, momentum=0.9)
    >>> w
    array([0.95, 2.05])
    """


_ADAM = """

    Parameters
    ----------
    param, exp_avg, exp_avg_sq : arrays of one shape and of float16, float32 or float64
        Updated in place. Start both averages at zero.
    grad : array of the same shape
    step : int
        Number of this step, from 1.
    lr : float, optional
        Learning rate.
    betas : (float, float), optional
        Decay of the averages of the gradient and of its square.
    eps : float, optional
        Added to the denominator.
    weight_decay : float, optional
    stream : stream or int, optional

    Raises
    ------
    TypeError, ValueError
        As every elementwise function, before anything is written; ValueError for a step below 1.

    Notes
    -----
    ::

        {decay}
        m = m + (1 - beta1) (g - m)
        v = beta2 v + (1 - beta2) g^2
        param = param - lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps)

    Four arrays are read and three written.

    References
    ----------
    {source}

    Examples
    --------
    >>> import numpy as np, kernels
    >>> w, m, v = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    >>> kernels.{name}(w, np.array([0.5, -0.5]), m, v, step=1, lr=0.1)
    >>> w.round(3)
    array({printed})
    """


def _published(make, fused, numbers, outs, doc):
    """The function that `make` makes of a fused one, with plans.

    A plan is made in the same way, of a plan of the fused function: ``step.plan(like=(param, grad, ...))``.
    """
    step = opaque(make(fused))
    count = fused.__wrapped__.__code__.co_argcount - len(numbers)

    @opaque
    def plan(like):
        """A step ready to be repeated on arrays like these, in the order of the function's; see `kernels.add.plan`."""
        if not isinstance(like, tuple | list) or len(like) != count:
            raise TypeError(f"like must be the {count} arrays of a step, in its order")
        given = tuple(like)
        found = opaque(make(fused.plan(like=given + numbers, out=tuple(given[k] for k in outs))))
        found.__doc__ = step.__doc__
        return found

    step.plan, step.__doc__ = plan, doc
    step.__qualname__ = step.__name__
    return step


def _make_sgd(apply):
    def sgd_step(
        param, grad, momentum_buffer, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, stream=None
    ):
        numbers = float(lr), float(momentum), float(dampening), float(weight_decay), bool(nesterov)
        apply(param, grad, momentum_buffer, *numbers, out=(param, momentum_buffer), stream=stream)

    return sgd_step


def _adam_maker(name, default, decoupled):
    """What makes the step of Adam whose weight decay is `default`, and `decoupled` from the gradient or not."""

    def make(apply):
        def adam(
            param,
            grad,
            exp_avg,
            exp_avg_sq,
            *,
            step,
            lr=1e-3,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=default,
            stream=None,
        ):
            if step < 1:
                raise ValueError(f"step must be 1 or more, got {step}")
            beta1, beta2 = map(float, betas)
            decay = (0.0, float(weight_decay)) if decoupled else (float(weight_decay), 0.0)
            numbers = float(lr), beta1, beta2, float(eps), *decay, 1 - beta1**step, 1 - beta2**step
            apply(param, grad, exp_avg, exp_avg_sq, *numbers, out=(param, exp_avg, exp_avg_sq), stream=stream)

        adam.__name__ = name
        return adam

    return make


sgd_step = _published(_make_sgd, _sgd, (1.0, 1.0, 1.0, 1.0, True), (0, 2), _SGD)
adam_step = _published(
    _adam_maker("adam_step", 0.0, decoupled=False),
    _adam,
    (1.0,) * 8,
    (0, 2, 3),
    "One step of Adam, in place and in one kernel."
    + _ADAM.format(
        name="adam_step",
        decay="g = grad + weight_decay param",
        printed="[0.9, 2.1]",
        source="Kingma & Ba 2015, https://arxiv.org/abs/1412.6980",
    ),
)
adamw_step = _published(
    _adam_maker("adamw_step", 1e-2, decoupled=True),
    _adam,
    (1.0,) * 8,
    (0, 2, 3),
    "One step of AdamW, which is Adam with decoupled weight decay, in place and in one kernel."
    + _ADAM.format(
        name="adamw_step",
        decay="g = grad; param = param - lr weight_decay param",
        printed="[0.899, 2.098]",
        source="Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101",
    ),
)
